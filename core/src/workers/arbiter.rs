//! Decides which held request goes next, over all members.

use std::{collections::BTreeMap, time::Duration};

use super::{Capacity, CapacitySource, Envelope, Message, SharedLedger, WorkerPeer};
use crate::{
    flow::{Controller, FlowConfig, FlowKey, Offer, Outcome, Ticket, TicketId},
    ledger::{Lease, Ledger, PoolPhase},
    model::{Instant, Priority, QueueId, RequestId, WorkerId},
    saturation::Budget,
};

/// Rejections in one go: each is a reply that its worker sends, and of those the host allows a few
/// hundred in one callback. The rest follow at the next tick.
const EXPIRED_MAX: usize = 64;

/// How long a new arbiter waits for tickets that the ledger counts and that it has not got: the
/// others find out at their next tick, of 20 ms, and a message takes a fraction of that. What a dead
/// worker had counted is waited for in vain, and no longer than this.
const HAND_IN_TIME: Duration = Duration::from_millis(50);

/// The saturation at which no band may send, whatever its own ceiling.
const FULL: f64 = 1.0;

/// A member in the role of the one that holds the lease, whether it does now or not: what tenants
/// have used stays known from one term to the next.
#[derive(Debug)]
pub(super) struct Arbiter {
    worker: WorkerId,
    queue: QueueId,
    /// The term, while it holds the lease.
    epoch: Option<u64>,
    /// When that began.
    since: Instant,
    controller: Controller,
    /// Whether it matters to anyone what a request costs.
    charges_tokens: bool,
    /// Who handed in tickets, and what it was granted. One entry a worker of this Envoy.
    clients: BTreeMap<WorkerId, TicketHolder>,
}

/// A worker that waits for answers.
#[derive(Debug)]
struct TicketHolder {
    reply_to: QueueId,
    grants: u64,
    /// Granted and not said yet.
    unsaid: Vec<RequestId>,
}

/// What the ledger gave the arbiter.
struct Reserve {
    capacity: Capacity,
    /// Places that are nobody else's now.
    places: u32,
    phase: PoolPhase,
}

/// Whether the arbiter still is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tenure {
    Holds,
    /// Another member took the lease. What this one knew is of no more use.
    Lost,
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
        }
    }

    /// Holds this lease from now on, and knows of no ticket yet.
    pub(super) fn begin(&mut self, now: Instant, lease: &Lease) {
        self.controller.clear(now);
        self.clients.clear();
        (self.epoch, self.since) = (Some(lease.epoch), now);
    }

    /// Another member holds the lease by now.
    pub(super) fn end(&mut self, now: Instant) {
        self.controller.clear(now);
        self.epoch = None;
    }

    /// What the operator decided.
    pub(super) fn config(&self) -> &FlowConfig {
        self.controller.config()
    }

    /// Whether it matters to anyone what a request costs.
    pub(super) fn charges_tokens(&self) -> bool {
        self.charges_tokens
    }

    /// Whether a request of this priority could go at once if nobody waited.
    pub(super) fn passes(&mut self, priority: Priority, room: &Budget) -> bool {
        self.controller.passes(priority, room)
    }

    /// Which priorities the known objectives have.
    pub(super) fn provision(&mut self, now: Instant, priorities: &[Priority]) {
        // Objectives beyond what bands there may be are served as priority 0, which the docs say.
        let _ = self.controller.provision(now, priorities);
    }

    /// The queues, for metrics.
    pub(super) fn controller(&self) -> &Controller {
        &self.controller
    }

    /// Whether anybody waits. While nobody does the lease is let go: whoever has to wait next takes
    /// it, and meanwhile nothing ticks.
    pub(super) fn has_waiting(&self) -> bool {
        self.controller.waiting().requests > 0
    }

    /// The term, while it holds the lease.
    pub(super) fn epoch(&self) -> Option<u64> {
        self.epoch
    }

    /// Takes tickets into the queue.
    pub(super) fn take_in(
        &mut self,
        now: Instant,
        (worker, reply_to): (WorkerId, QueueId),
        tickets: Vec<Ticket>,
        again: bool,
    ) -> Vec<Envelope> {
        let newcomer = TicketHolder { reply_to, grants: 0, unsaid: Vec::new() };
        self.clients.entry(worker).or_insert(newcomer).reply_to = reply_to;
        let mut posts = Vec::new();
        for ticket in tickets {
            let id = ticket.id;
            if again {
                self.controller.hand_in(now, ticket);
                continue;
            }
            match self.controller.offer(now, ticket) {
                Offer::Queued => (),
                Offer::Displaced(victims) => {
                    let outcome = Outcome::EvictedDisplaced;
                    posts.extend(victims.into_iter().filter_map(|id| self.reject(id, outcome)));
                }
                Offer::Rejected(outcome) => posts.extend(self.reject(id, outcome)),
            }
        }
        posts
    }

    /// Forgets a ticket whose client left.
    pub(super) fn cancel(&mut self, now: Instant, worker: WorkerId, request: RequestId) {
        self.controller.cancel(now, TicketId { worker: worker.0, request: request.0 });
    }

    /// Counts output tokens against a flow.
    pub(super) fn charge(&mut self, flow: &FlowKey, tokens: u32) {
        self.controller.charge(flow, tokens);
    }

    /// Counts uncached prompt tokens otherwise than a flow was charged for.
    pub(super) fn correct(&mut self, flow: &FlowKey, charged: u32, found: u32) {
        self.controller.correct(flow, charged, found);
    }

    /// Forgets a dead worker's tickets, and gives back the places that were on their way to it.
    pub(super) fn bury(
        &mut self,
        now: Instant,
        (worker, grants_taken): (WorkerId, u64),
        shared: &dyn SharedLedger,
    ) {
        self.controller.forget_worker(now, worker.0);
        let Some(client) = self.clients.remove(&worker) else { return };
        let lost = u32::try_from(client.grants.saturating_sub(grants_taken)).unwrap_or(u32::MAX);
        self.return_places(lost, shared);
    }

    /// Rejects what has waited too long, grants what there is room for, and renews the lease.
    pub(super) fn run(
        &mut self,
        now: Instant,
        gauge: &dyn CapacitySource,
        shared: &dyn SharedLedger,
    ) -> (Tenure, Vec<Envelope>) {
        let Some(Reserve { capacity, places, phase }) = self.reserve(now, gauge, shared) else {
            return (Tenure::Lost, Vec::new());
        };
        let expired: Vec<_> = self.controller.expire(now, phase).take(EXPIRED_MAX).collect();
        let mut posts: Vec<Envelope> =
            expired.into_iter().filter_map(|(id, outcome)| self.reject(id, outcome)).collect();
        let Capacity::Serving(mut room) = capacity else { return (Tenure::Holds, posts) };
        let mut left = places;
        while left > 0 {
            let Some(ticket) = self.controller.dispatch(now, &mut room) else { break };
            left -= u32::from(self.grant(ticket.id));
        }
        posts.extend(self.say_grants(now));
        self.return_places(left, shared);
        if left == 0 && places == WorkerPeer::GRANTS_MAX && self.has_waiting() {
            // There may be room for more: on in another callback of the host.
            posts.push(Envelope { to: self.queue, message: Message::Wake });
        }
        (Tenure::Holds, posts)
    }

    /// Takes as many places as tickets could use, before it is decided whose they are: once they are
    /// in the ledger, nobody else takes them. Renews the lease with it. None where it was lost.
    fn reserve(
        &self,
        now: Instant,
        gauge: &dyn CapacitySource,
        shared: &dyn SharedLedger,
    ) -> Option<Reserve> {
        let epoch = self.epoch?;
        let most = u32::try_from(self.controller.waiting().requests).unwrap_or(u32::MAX);
        let most = most.min(WorkerPeer::GRANTS_MAX);
        let mut reserve = None;
        shared.update(&mut |ledger| {
            reserve = None;
            if ledger.lease.epoch != epoch || ledger.lease.holder != self.worker {
                return;
            }
            if most > 0 {
                ledger.lease.renew(now);
            }
            ledger.nudged = false;
            let capacity = gauge.capacity(ledger).beyond_grants(ledger);
            ledger.phase.see(capacity.kind(), now);
            let places = match &capacity {
                Capacity::Serving(room) if !self.must_wait(now, ledger, room) => {
                    room.places(FULL).min(most)
                }
                Capacity::Serving(_) | Capacity::Unknown | Capacity::Empty => 0,
            };
            ledger.granted = ledger.granted.saturating_add(places);
            reserve = Some(Reserve { capacity, places, phase: ledger.phase });
        });
        reserve
    }

    /// Whether nothing is granted now, whatever the room. Because others are still to hand in their
    /// tickets, so that whoever came first might not be the one who goes first; or because room is
    /// measured in tokens and the ledger knows only how many were granted: these must be on their
    /// way before it says what is left.
    fn must_wait(&self, now: Instant, ledger: &Ledger, room: &Budget) -> bool {
        let is_new = u64::from(ledger.waiting) > self.controller.waiting().requests
            && now.saturating_since(self.since) < HAND_IN_TIME;
        is_new || (ledger.granted > 0 && room.weighs_tokens())
    }

    /// Gives a place to a ticket; false if its worker is not known, which then has none.
    fn grant(&mut self, id: TicketId) -> bool {
        let Some(client) = self.clients.get_mut(&WorkerId(id.worker)) else { return false };
        client.grants += 1;
        client.unsaid.push(RequestId(id.request));
        true
    }

    /// One message to each worker that was granted something.
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

    fn reject(&self, id: TicketId, outcome: Outcome) -> Option<Envelope> {
        let client = self.clients.get(&WorkerId(id.worker))?;
        let message = Message::Reject { request: RequestId(id.request), outcome };
        Some(Envelope { to: client.reply_to, message })
    }

    /// Gives back places that nobody will take.
    fn return_places(&self, places: u32, shared: &dyn SharedLedger) {
        if places > 0 {
            shared.update(&mut |ledger| {
                if Some(ledger.lease.epoch) == self.epoch {
                    ledger.granted = ledger.granted.saturating_sub(places);
                }
            });
        }
    }
}
