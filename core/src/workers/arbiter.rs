//! The arbiter: decides which held request goes next, over the tickets of all workers.

mod eviction;
mod lost_messages;

use std::{collections::BTreeMap, time::Duration};

use super::{Envelope, Message};
use crate::{
    exchange::{TENANTS_MAX, TenantTokens},
    flow::{Controller, FlowConfig, FlowKey, Offer, Outcome, Passage, Rejection, Ticket, TicketId},
    ledger::{Exchange, Lease, Ledger, PoolPhase},
    model::{Instant, Priority, QueueId, RequestId, WorkerId},
    saturation::{Budget, Capacity},
};

use eviction::EvictionPace;
pub use eviction::Reclaim;

/// Rejections in one go: each is a reply that its worker sends, and of those the host allows a few
/// hundred in one callback. The rest follow at the next tick.
const EXPIRED_MAX: usize = 64;

/// Longest time that a new arbiter waits for tickets that the ledger counts and that it has not got.
/// The others learn of it at their next tick, of 20 ms, and a message takes a fraction of that. The
/// requests that a dead worker had counted are waited for in vain, and no longer than this.
const HAND_IN_TIME: Duration = Duration::from_millis(50);

/// The saturation at which no band may send, whatever its own ceiling.
const FULL: f64 = 1.0;

/// A worker in the role of the lease holder, also while another worker holds the lease: the use that
/// tenants have made stays known from one term to the next.
#[derive(Clone, Debug)]
pub(crate) struct Arbiter {
    worker: WorkerId,
    queue: QueueId,
    /// The term, while this worker holds the lease.
    epoch: Option<u64>,
    /// Time at which that term began.
    since: Instant,
    controller: Controller,
    /// True if tenants are charged for the tokens of their requests.
    charges_tokens: bool,
    /// The workers that handed in tickets: at most one entry a worker of this Envoy.
    clients: BTreeMap<WorkerId, TicketHolder>,
    /// Tokens that tenants were charged at other gateways, by the latest part: at most
    /// [`TENANTS_MAX`](crate::exchange::TENANTS_MAX).
    elsewhere: BTreeMap<FlowKey, u64>,
    /// Tickets that members had handed in by the last look, and of which none had arrived.
    unheard: BTreeMap<WorkerId, u64>,
    evictions: EvictionPace,
}

/// A worker that handed in tickets and waits for answers.
#[derive(Clone, Debug)]
struct TicketHolder {
    reply_to: QueueId,
    /// Number of tickets that the worker has handed in in this term.
    received: u64,
    /// Grants and rejections that the worker was given in this term.
    said: Exchange,
    /// The exchange as it was at the last look: tickets that the worker had handed in by its own word,
    /// and answers that it had been given.
    noted: Exchange,
    /// Requests that were granted a place and are not in a message yet.
    unsaid: Vec<RequestId>,
}

/// Places that the ledger reserved for an arbiter, with the capacity that they were taken from.
#[derive(Debug)]
pub(crate) struct Reserve {
    capacity: Capacity,
    /// Number of places, which no other worker takes now.
    places: u32,
    phase: PoolPhase,
    /// Requests in flight or granted; `None` where none may be granted now, whatever the room.
    in_flight: Option<u64>,
}

impl Reserve {
    /// Returns the number of reserved places.
    pub(super) const fn places(&self) -> u32 {
        self.places
    }
}

/// The standing of an arbiter in the ledger.
#[derive(Debug)]
pub(crate) enum Tenure {
    /// The worker holds the lease, and these places are reserved.
    Holds(Reserve),
    /// Another worker took the lease. The tickets known here are of no more use.
    Lost,
}

/// Tickets that a worker hands in.
#[derive(Debug)]
pub(super) struct Submission {
    /// The worker that holds the requests.
    pub(super) worker: WorkerId,
    /// The queue on which that worker takes the answers.
    pub(super) reply_to: QueueId,
    /// True if an earlier arbiter had the tickets: then no limit applies to them again.
    pub(super) again: bool,
    pub(super) tickets: Vec<Ticket>,
}

/// The outcome of one look at the queues.
#[derive(Debug)]
pub(super) struct Acts {
    /// Grants and rejections.
    pub(super) envelopes: Vec<Envelope>,
    /// Reserved places that no ticket took.
    pub(super) unused: u32,
    /// Running requests that should end.
    pub(super) reclaim: Option<Reclaim>,
}

impl TicketHolder {
    fn new(reply_to: QueueId) -> Self {
        let (said, noted) = (Exchange::default(), Exchange::default());
        Self { reply_to, received: 0, said, noted, unsaid: Vec::new() }
    }
}

impl Arbiter {
    pub(super) fn new(worker: WorkerId, queue: QueueId, config: FlowConfig, now: Instant) -> Self {
        Self {
            worker,
            queue,
            epoch: None,
            since: Instant::default(),
            charges_tokens: config.charges_tokens(),
            controller: Controller::new(config, PoolPhase { since: now, ..PoolPhase::default() }),
            clients: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
            unheard: BTreeMap::new(),
            evictions: EvictionPace::default(),
        }
    }

    /// Takes in what tenants were charged at other gateways. Charges them here for what is new, while this
    /// worker decides; what was used before it began to is not held against them.
    pub(super) fn charge_elsewhere(&mut self, tenants: &[TenantTokens]) {
        let decides = self.epoch.is_some();
        let before = std::mem::take(&mut self.elsewhere);
        for TenantTokens { flow, tokens } in tenants.iter().take(TENANTS_MAX) {
            let known = before.get(flow).filter(|known| decides && *known < tokens);
            if let Some(known) = known {
                self.controller.charge_elsewhere(flow, tokens - known);
            }
            self.elsewhere.insert(flow.clone(), *tokens);
        }
    }

    /// Begins a term under this lease, in which no ticket is known yet.
    pub(super) fn begin(&mut self, now: Instant, lease: &Lease) {
        self.controller.clear(now);
        self.clients.clear();
        self.unheard.clear();
        self.epoch = Some(lease.epoch);
        self.since = now;
    }

    /// Ends the term: another worker holds the lease by now.
    pub(super) fn end(&mut self, now: Instant) {
        self.controller.clear(now);
        self.epoch = None;
    }

    /// Returns the operator's settings of flow control.
    pub(super) fn config(&self) -> &FlowConfig {
        self.controller.config()
    }

    /// True if tenants are charged for the tokens of their requests.
    pub(super) fn charges_tokens(&self) -> bool {
        self.charges_tokens
    }

    /// Tells whether a request of this priority could go at once if no request waited.
    pub(super) fn passage(&self, priority: Priority, budget: &Budget) -> Option<Passage> {
        self.controller.passage(priority, budget)
    }

    /// Counts the answer of a band to a request that arrived.
    pub(super) fn count(&mut self, passage: Passage) {
        self.controller.count(passage);
    }

    /// Gives each of these priorities a band.
    pub(super) fn provision(&mut self, now: Instant, priorities: &[Priority]) {
        // Objectives beyond the limit of bands are served as priority 0, as the docs say.
        let _ = self.controller.provision(now, priorities);
    }

    /// Returns the queues, for metrics.
    pub(super) fn controller(&self) -> &Controller {
        &self.controller
    }

    /// Takes what tenants were charged since the last time, in whichever term.
    pub(super) fn take_charges(&mut self) -> Vec<(FlowKey, i64)> {
        self.controller.take_charges()
    }

    /// True while a request waits. Otherwise the lease is left to lapse: the worker of the next request
    /// that has to wait takes it, and meanwhile nothing ticks.
    pub(super) fn has_waiting(&self) -> bool {
        self.controller.waiting().requests > 0
    }

    /// Returns the term, while this worker holds the lease.
    pub(super) fn epoch(&self) -> Option<u64> {
        self.epoch
    }

    /// Takes tickets into the queues. Returns rejections: of tickets that find no room, and of those
    /// that others displace.
    pub(super) fn take_in(&mut self, now: Instant, submission: Submission) -> Vec<Envelope> {
        let Submission { worker, reply_to, again, tickets } = submission;
        let client = self.clients.entry(worker).or_insert_with(|| TicketHolder::new(reply_to));
        client.reply_to = reply_to;
        client.received += u64::try_from(tickets.len()).unwrap_or(u64::MAX);
        let mut rejections = Vec::new();
        for ticket in tickets {
            let id = ticket.id;
            if again {
                // An earlier arbiter admitted the ticket: to turn it away now would break its word.
                self.controller.hand_in(now, ticket);
                continue;
            }
            match self.controller.offer(now, ticket) {
                Offer::Queued => (),
                Offer::Displaced(victims) => {
                    let evicted = Rejection::from(Outcome::EvictedDisplaced);
                    rejections
                        .extend(victims.into_iter().filter_map(|id| self.reject(id, evicted)));
                }
                Offer::Rejected(rejection) => rejections.extend(self.reject(id, rejection)),
            }
        }
        rejections
    }

    /// Forgets the ticket of a request that its client gave up.
    pub(super) fn cancel(&mut self, now: Instant, worker: WorkerId, request: RequestId) {
        self.controller.cancel(now, TicketId { worker: worker.0, request: request.0 });
    }

    /// Counts output tokens against a flow, in place of those that it was charged for at dispatch.
    pub(super) fn charge(&mut self, flow: &FlowKey, tokens: u32, expected: u32) {
        self.controller.charge(flow, tokens, expected);
    }

    /// Charges a flow for the uncached prompt tokens that were found, in place of those that it was
    /// charged for.
    pub(super) fn correct(&mut self, flow: &FlowKey, charged: u32, found: u32) {
        self.controller.correct(flow, charged, found);
    }

    /// Reserves as many places as tickets could use, before it is decided which tickets get them: once
    /// they are in the ledger, no other worker takes them. Renews the lease with it. `capacity` is the
    /// room that is left beyond granted places. [`Tenure::Lost`] where another worker holds the lease.
    ///
    /// Part of a proposal: only the ledger changes, and a lost try leaves nothing behind.
    pub(super) fn reserve(&self, now: Instant, capacity: Capacity, ledger: &mut Ledger) -> Tenure {
        if self.epoch != Some(ledger.lease.epoch) || ledger.lease.holder != self.worker {
            return Tenure::Lost;
        }
        let most = u32::try_from(self.controller.waiting().requests).unwrap_or(u32::MAX);
        let most = most.min(Message::GRANTS_MAX);
        if most > 0 {
            // With no ticket the lease may lapse: to keep it would keep this worker ticking.
            ledger.lease.renew(now);
        }
        // From this look on a change is news again. It is cleared in the same write that this look was
        // made on, so that no wake-up falls between the two.
        ledger.is_woken = false;
        ledger.phase.see(capacity.phase_kind(), now);
        let (places, in_flight) = match &capacity {
            // `FULL`: the ceilings of single bands are looked at when a ticket is chosen, in `act`.
            Capacity::Serving(budget) if !self.must_wait(now, ledger, budget) => {
                (budget.places(FULL).min(most), ledger.used().requests)
            }
            Capacity::Serving(_) | Capacity::Unknown | Capacity::Empty => (0, None),
        };
        ledger.granted = ledger.granted.saturating_add(places);
        Tenure::Holds(Reserve { capacity, places, phase: ledger.phase, in_flight })
    }

    /// Rejects tickets that waited too long, and grants the reserved places.
    pub(super) fn act(&mut self, now: Instant, reserve: Reserve) -> Acts {
        let Reserve { capacity, places, phase, in_flight } = reserve;
        // Before any grant: no place goes to a request that is past its deadline.
        let expired: Vec<_> = self.controller.expire(now, phase).take(EXPIRED_MAX).collect();
        let mut envelopes: Vec<Envelope> = expired
            .into_iter()
            .filter_map(|(id, outcome)| self.reject(id, outcome.into()))
            .collect();
        let Capacity::Serving(mut budget) = capacity else {
            // Nothing was reserved in a pool that serves nothing.
            return Acts { envelopes, unused: places, reclaim: None };
        };
        let mut unused = places;
        while unused > 0 {
            // Ends early where bands may not use all of the room: what is left goes back to the ledger.
            let Some(ticket) = self.controller.dispatch(now, &mut budget) else { break };
            // A ticket takes no place if its worker is not known.
            unused -= u32::from(self.grant(ticket.id));
        }
        envelopes.extend(self.say_grants(now));
        let may_go_on = unused == 0 && places == Message::GRANTS_MAX;
        if may_go_on && self.has_waiting() {
            // There may be room for more. The rest is granted in another callback of the host, which
            // resumes only so many streams in one.
            envelopes.push(Envelope { to: self.queue, message: Message::Wake });
        }
        let reclaim = in_flight.filter(|_| !may_go_on);
        let reclaim = reclaim.and_then(|it| self.reclaim(now, &budget, it));
        Acts { envelopes, unused, reclaim }
    }

    /// True if nothing is granted now, whatever the room, for one of two reasons. Other workers are
    /// still to hand in their tickets, so that a later request might go before an earlier one. Or room
    /// is measured in tokens, and of the granted requests the ledger knows only their number: they must
    /// be on their way before it says how much is left.
    fn must_wait(&self, now: Instant, ledger: &Ledger, room: &Budget) -> bool {
        let is_new = u64::from(ledger.waiting) > self.controller.waiting().requests
            && now.saturating_since(self.since) < HAND_IN_TIME;
        is_new || (ledger.granted > 0 && room.weighs_tokens())
    }

    /// Gives a place to a ticket; false if its worker is not known, so that no place is taken.
    fn grant(&mut self, id: TicketId) -> bool {
        let Some(client) = self.clients.get_mut(&WorkerId(id.worker)) else { return false };
        client.said.granted += 1;
        client.unsaid.push(RequestId(id.request));
        true
    }

    /// Writes one message to each worker that was granted something.
    fn say_grants(&mut self, at: Instant) -> Vec<Envelope> {
        let Some(epoch) = self.epoch else { return Vec::new() };
        let granted = self.clients.values_mut().filter(|client| !client.unsaid.is_empty());
        granted
            .map(|client| {
                let requests = std::mem::take(&mut client.unsaid);
                Envelope { to: client.reply_to, message: Message::Grant { requests, epoch, at } }
            })
            .collect()
    }

    fn reject(&mut self, id: TicketId, rejection: Rejection) -> Option<Envelope> {
        let epoch = self.epoch?;
        let client = self.clients.get_mut(&WorkerId(id.worker))?;
        client.said.rejected += 1;
        let request = RequestId(id.request);
        let message = Message::Reject { request, rejection, epoch };
        Some(Envelope { to: client.reply_to, message })
    }
}
