//! A worker of one Envoy as the peer of the others: its held requests, its requests in flight, its role
//! as the arbiter.
//!
//! Methods that a proposal uses read this worker and change the ledger that they are handed; methods
//! that a commit uses change this worker, once the ledger holds what was proposed. No method does
//! both, so a try that another worker was faster than leaves nothing behind.

mod arbitration;
mod charges;
mod eviction;
mod grant;

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Envelope, Message,
    arbiter::{Arbiter, Tenure},
    gate::{self, Gate},
    in_flight::{Counted, CountedRequests, Shift},
};
use crate::{
    exchange::TenantTokens,
    flow::{Controller, FlowConfig, FlowKey, Passage, Ticket},
    ledger::{EndpointKey, Exchange, Heartbeat, Lease, Ledger, MeasuredLimits, Target},
    model::{InferenceRequest, Instant, Priority, QueueId, RequestId, WorkerId},
    saturation::Capacity,
};

pub(crate) use arbitration::Acted;
pub(crate) use grant::GrantPlan;

/// A worker's part in flow control: the requests that it holds and those that it sent.
#[derive(Clone, Debug)]
pub struct WorkerPeer {
    id: WorkerId,
    queue: QueueId,
    heartbeat: Heartbeat,
    held: BTreeMap<RequestId, HeldRequest>,
    /// The held requests of each priority, oldest first: one entry for each of them.
    by_arrival: BTreeSet<(Priority, Instant, RequestId)>,
    in_flight: CountedRequests,
    /// The arbiter that the held requests were handed to.
    handed_to: Handed,
    /// `None` where flow control is off: then no request is ever held.
    arbiter: Option<Arbiter>,
}

/// A request that waits for its turn, with all that scheduling will need.
#[derive(Clone, Debug)]
pub(crate) struct HeldRequest {
    pub(crate) ticket: Ticket,
    pub(crate) request: InferenceRequest,
}

/// The arbiter that tickets were handed to.
#[derive(Clone, Copy, Debug, Default)]
struct Handed {
    epoch: u64,
    queue: QueueId,
}

impl WorkerPeer {
    /// Tickets in one message.
    pub const TICKETS_MAX: usize = Message::TICKETS_MAX;

    /// Grants in one message, and in one look of the arbiter.
    pub const GRANTS_MAX: u32 = Message::GRANTS_MAX;

    /// Requests that one worker holds. Envoy keeps each one's body: at 220 kB a prompt these are
    /// 3.6 GB, and bands have limits of their own below that.
    const HELD_MAX: usize = 16_384;

    /// Makes a worker that takes its messages from `queue`. Without `flow` no request is ever held.
    #[must_use]
    pub fn new(id: WorkerId, queue: QueueId, flow: Option<FlowConfig>, now: Instant) -> Self {
        let arbiter = flow.map(|config| Arbiter::new(id, queue, config, now));
        Self {
            id,
            queue,
            heartbeat: Heartbeat::default(),
            held: BTreeMap::new(),
            by_arrival: BTreeSet::new(),
            in_flight: CountedRequests::default(),
            handed_to: Handed::default(),
            arbiter,
        }
    }

    /// Goes by another configuration from now on; `None` turns flow control off. Tickets held as the
    /// arbiter are handed in again in another term. Requests that are held here when flow control is
    /// turned off are let go at the next tick.
    pub fn configure(&mut self, now: Instant, flow: Option<FlowConfig>) {
        if self.arbiter.as_ref().map(Arbiter::config) != flow.as_ref() {
            self.arbiter = flow.map(|config| Arbiter::new(self.id, self.queue, config, now));
        }
    }

    /// Returns the worker's id.
    #[must_use]
    pub fn id(&self) -> WorkerId {
        self.id
    }

    /// Takes the priorities of the known objectives: each gets a band.
    pub fn provision(&mut self, now: Instant, priorities: &[Priority]) {
        if let Some(arbiter) = &mut self.arbiter {
            arbiter.provision(now, priorities);
        }
    }

    /// Returns all queues of the pool, if this worker is the arbiter.
    #[must_use]
    pub fn queues(&self) -> Option<&Controller> {
        self.arbiter.as_ref().filter(|arbiter| arbiter.epoch().is_some()).map(Arbiter::controller)
    }

    /// Takes what this worker has charged tenants for requests of this gateway since the last time.
    pub fn take_charges(&mut self) -> Vec<(FlowKey, i64)> {
        self.arbiter.as_mut().map(Arbiter::take_charges).unwrap_or_default()
    }

    /// Returns the worker's counts, to be put where the others find them when it is dead.
    #[must_use]
    pub fn heartbeat(&self) -> &Heartbeat {
        &self.heartbeat
    }

    /// True while requests wait on this worker, or on its decision: then it should tick often.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.held.is_empty() || self.arbiter.as_ref().is_some_and(Arbiter::has_waiting)
    }

    /// True while this worker holds the lease, as far as it knows.
    #[must_use]
    pub fn is_arbiter(&self) -> bool {
        self.arbiter.as_ref().is_some_and(|arbiter| arbiter.epoch().is_some())
    }

    /// Returns the queue by which this worker wakes itself, while requests wait on its decision.
    pub(crate) fn own_queue(&self) -> Option<QueueId> {
        let decides = |it: &Arbiter| it.epoch().is_some() && it.has_waiting();
        self.arbiter.as_ref().is_some_and(decides).then_some(self.queue)
    }

    /// True if tenants are charged for what their requests cost.
    pub(crate) fn charges_tokens(&self) -> bool {
        self.arbiter.as_ref().is_some_and(Arbiter::charges_tokens)
    }

    /// True while this worker has counts in the ledger.
    pub(crate) fn counts_any(&self) -> bool {
        self.holds_any() || !self.in_flight.is_empty()
    }

    /// True while requests wait on this worker.
    pub(crate) fn holds_any(&self) -> bool {
        !self.held.is_empty()
    }

    /// Returns requests that are held though flow control is off, as many as go at a time.
    pub(crate) fn unqueued(&self) -> impl Iterator<Item = RequestId> + use<> {
        let is_off = self.arbiter.is_none();
        let held = self.held.keys().copied().take(Self::GRANTS_MAX as usize);
        held.filter(|_| is_off).collect::<Vec<_>>().into_iter()
    }

    /// Reads a held request.
    pub(crate) fn held(&self, request: RequestId) -> Option<&HeldRequest> {
        self.held.get(&request)
    }

    // --- parts of a proposal

    /// True if [`Self::gate`] needs the pool's capacity, which takes a look at every endpoint.
    pub(crate) fn needs_capacity(&self, priority: Priority) -> bool {
        gate::needs_capacity(self.arbiter.as_ref(), priority)
    }

    /// Decides whether a request of this priority goes at once.
    pub(crate) fn gate(&self, capacity: &Capacity, ledger: &Ledger, priority: Priority) -> Gate {
        gate::gate(self.arbiter.as_ref(), capacity, ledger, priority)
    }

    /// Counts a request that is to be held, under an arbiter's lease, which this worker takes if no
    /// other holds it. `None` where this worker holds as many requests as it may.
    pub(crate) fn hold(&self, now: Instant, ledger: &mut Ledger) -> Option<Lease> {
        if self.held.len() >= Self::HELD_MAX {
            return None;
        }
        ledger.take_lease(self.id, self.queue, now);
        ledger.hold();
        Some(ledger.lease)
    }

    /// Sees to it that there is an arbiter while requests are held here. A worker that has the lease and
    /// does not decide, as it was configured anew within its term, ends that term: the arbiter of the next
    /// one knows all tickets.
    pub(crate) fn keep_lease(&self, now: Instant, ledger: &mut Ledger) -> Option<Lease> {
        let decides = self.arbiter.as_ref().and_then(Arbiter::epoch) == Some(ledger.lease.epoch);
        if ledger.waiting > 0 && ledger.lease.is_held_by(self.id, now) && !decides {
            ledger.end_term();
        }
        // Without flow control here the requests need no arbiter.
        (self.holds_any() && self.arbiter.is_some()).then(|| {
            ledger.take_lease(self.id, self.queue, now);
            ledger.lease
        })
    }

    /// Reserves places for tickets, if this worker is the arbiter.
    pub(crate) fn reserve(
        &self,
        now: Instant,
        capacity: Capacity,
        ledger: &mut Ledger,
    ) -> Option<Tenure> {
        let arbiter = self.arbiter.as_ref().filter(|arbiter| arbiter.epoch().is_some())?;
        Some(arbiter.reserve(now, capacity, ledger))
    }

    /// Tells what the beginning of a response changes.
    pub(crate) fn shift(
        &self,
        request: RequestId,
        served_by: Option<EndpointKey>,
    ) -> Option<Shift> {
        self.in_flight.shift(request, served_by)
    }

    /// Tells what changes when another endpoint than the first takes a request on; `None` if nothing
    /// does.
    pub(crate) fn reroute(&self, request: RequestId, served_by: EndpointKey) -> Option<Shift> {
        self.in_flight.reroute(request, served_by)
    }

    /// Reads the counts of a request in flight.
    pub(crate) fn counted(&self, request: RequestId) -> Option<Counted> {
        self.in_flight.get(request)
    }

    // --- parts of a commit

    /// Shows that this worker lives.
    pub(crate) fn show_life(&mut self) {
        self.heartbeat.beats += 1;
    }

    /// Notes the number of the change of this worker's counts that the ledger has.
    pub(crate) fn note_change(&mut self, changes: u64) {
        self.heartbeat.changes = changes;
    }

    /// Counts a rejection by the known arbiter as heard.
    pub(crate) fn count_rejection(&mut self, epoch: u64) {
        if epoch == self.handed_to.epoch {
            self.heartbeat.exchange.rejected += 1;
        }
    }

    /// Counts the answer of a band to a request that arrived.
    pub(crate) fn count(&mut self, passage: Passage) {
        if let Some(arbiter) = &mut self.arbiter {
            arbiter.count(passage);
        }
    }

    /// Remembers a request that was sent.
    pub(crate) fn open(&mut self, now: Instant, request: RequestId, target: Target) {
        let counted = self.in_flight.open(now, request, target);
        self.show_sheddable(target.priority);
        self.heartbeat.bands.change(target.priority, |band| band.in_flight += 1);
        counted.open(now, &mut self.heartbeat.accounts);
    }

    /// Holds a request under the lease that [`Self::hold`] returned; without one, as the ledger could not
    /// be changed, under the last known. Returns the messages that hand in its ticket.
    pub(crate) fn take_held(
        &mut self,
        now: Instant,
        held: HeldRequest,
        lease: Option<Lease>,
    ) -> Vec<Envelope> {
        self.heartbeat.waiting += 1;
        // The lease comes first: a ticket that is not yet among the held ones is not handed in twice.
        let mut envelopes = lease.map_or_else(Vec::new, |lease| self.follow(now, lease));
        // Before any arbiter is known, the next tick finds one and hands in all.
        if self.handed_to.epoch > 0 {
            envelopes.push(self.submit(vec![held.ticket.clone()], false));
        }
        let Ticket { id, arrived, .. } = held.ticket;
        let id = RequestId(id.request);
        self.by_arrival.insert((held.request.priority, arrived, id));
        self.recount_waiting(held.request.priority, 1);
        self.held.insert(id, held);
        envelopes
    }

    /// Counts that so many more or fewer requests of a priority are held, and which is the oldest.
    fn recount_waiting(&mut self, priority: Priority, more: i32) {
        let first = (priority, Instant::default(), RequestId(0));
        let oldest = self.by_arrival.range(first..).next();
        let oldest = oldest.filter(|(other, ..)| *other == priority);
        let oldest = oldest.map_or_else(Instant::default, |(_, arrived, _)| *arrived);
        self.heartbeat.bands.change(priority, |band| {
            band.waiting = band.waiting.saturating_add_signed(more);
            band.oldest = oldest;
        });
    }

    /// Counts a request that arrived.
    pub(crate) fn count_arrival(&mut self, priority: Priority) {
        self.heartbeat.bands.change(priority, |band| band.arrivals += 1);
    }

    /// Takes in what tenants were charged at other gateways.
    pub(crate) fn charge_elsewhere(&mut self, tenants: &[TenantTokens]) {
        if let Some(arbiter) = &mut self.arbiter {
            arbiter.charge_elsewhere(tenants);
        }
    }

    /// Notes what the pool takes of all gateways, for the exchange.
    pub(crate) fn note_limits(&mut self, limits: MeasuredLimits) {
        self.heartbeat.limits = limits;
    }

    /// Remembers what the beginning of a response changed.
    pub(crate) fn take_shift(&mut self, now: Instant, request: RequestId, shift: &Shift) {
        shift.apply(now, &mut self.heartbeat.accounts);
        self.in_flight.take_shift(request, shift);
    }

    /// Forgets a request in flight that ended. Returns the message that tells so where it was evicted.
    pub(crate) fn close(&mut self, now: Instant, request: RequestId) -> Option<Envelope> {
        let counted = self.in_flight.close(request)?;
        counted.close(now, &mut self.heartbeat.accounts);
        self.show_sheddable(counted.priority);
        self.heartbeat.bands.change(counted.priority, |band| {
            band.in_flight = band.in_flight.saturating_sub(1);
        });
        counted.evicted_for.map(|to| Envelope { to, message: Message::Evicted })
    }

    /// Forgets a held request; `None` if it was not held.
    pub(crate) fn unhold(&mut self, request: RequestId) -> Option<HeldRequest> {
        let held = self.held.remove(&request)?;
        self.heartbeat.waiting = self.heartbeat.waiting.saturating_sub(1);
        let priority = held.request.priority;
        self.by_arrival.remove(&(priority, held.ticket.arrived, request));
        self.recount_waiting(priority, -1);
        Some(held)
    }

    /// Writes the message that takes a held request's ticket back from the arbiter.
    pub(crate) fn cancel(&self, request: RequestId) -> Envelope {
        let message = Message::Cancel { worker: self.id, request };
        Envelope { to: self.handed_to.queue, message }
    }

    /// Follows the arbiter that this lease names. Returns the messages that hand in again the tickets
    /// that another arbiter had.
    pub(crate) fn follow(&mut self, now: Instant, lease: Lease) -> Vec<Envelope> {
        if lease.epoch == self.handed_to.epoch {
            return Vec::new();
        }
        // A term begins once. An arbiter that was configured anew within its term knows no ticket, and
        // none is handed in before the lease has lapsed: if it went on, those would never be served.
        if let Some(arbiter) = &mut self.arbiter
            && lease.holder == self.id
        {
            arbiter.begin(now, &lease);
        }
        self.handed_to = Handed { epoch: lease.epoch, queue: lease.queue };
        self.heartbeat.exchange = Exchange { epoch: lease.epoch, ..Exchange::default() };
        let tickets: Vec<Ticket> = self.held.values().map(|held| held.ticket.clone()).collect();
        let chunks = tickets.chunks(Message::TICKETS_MAX);
        chunks.map(|some| self.submit(some.to_vec(), true)).collect()
    }

    fn submit(&mut self, tickets: Vec<Ticket>, again: bool) -> Envelope {
        let submitted = u64::try_from(tickets.len()).unwrap_or(u64::MAX);
        self.heartbeat.exchange.submitted += submitted;
        let Handed { epoch, queue } = self.handed_to;
        let message =
            Message::Submit { worker: self.id, reply_to: self.queue, epoch, again, tickets };
        Envelope { to: queue, message }
    }
}
