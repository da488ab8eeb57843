//! The flows of one priority.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    BandConfig, FairnessId, FlowKey, TicketId, Usage,
    flow_queue::{FlowQueue, Place, State},
    rank::Rank,
    recent_wait::RecentWait,
    slab::{Slab, SlabKey},
    ticket::TicketTokens,
};
use crate::model::{Instant, Priority};

/// Time for which a flow is remembered after its last request was dispatched (EPP: flow garbage
/// collection).
const FLOW_IDLE_MAX: Duration = Duration::from_secs(5 * 60);

/// Number of flows that are remembered though no request waits in them. A client that invents a new
/// tenant for each request pushes out idle tenants and not memory: 64 bands of them stay under 32
/// MB.
const FLOWS_IDLE_MAX: usize = 1_024;

/// The flows of one priority, their order, and what its policies remember.
#[derive(Clone, Debug)]
pub(super) struct Band {
    pub(super) priority: Priority,
    pub(super) config: BandConfig,
    pub(super) usage: Usage,
    /// Time since when no request waits.
    pub(super) idle_since: Instant,
    /// True if it may send, by the last dispatch's saturation.
    pub(super) open: bool,
    /// Number of times that the band asked in vain (soft reflective ceiling).
    pub(super) turns: u32,
    /// Part of its floor that the band is owed (weighted bands).
    pub(super) owed: u64,
    queues: Slab<FlowQueue>,
    by_id: BTreeMap<FairnessId, SlabKey>,
    waiting: BTreeSet<(Rank, SlabKey)>,
    idle: BTreeSet<(Instant, SlabKey)>,
    by_arrival: BTreeSet<QueuePosition>,
    next_turn: u64,
    /// The waits of the last requests that were dispatched.
    waits: RecentWait,
    /// The counter of the flow that was the last to wait (token-fair).
    last_counter: u64,
}

/// A request among those of its band.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    pub(super) queue: SlabKey,
    pub(super) place: Place,
    pub(super) arrival: QueuePosition,
    pub(super) bytes: u64,
}

/// First arrival on any worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct QueuePosition {
    pub(super) at: Instant,
    pub(super) id: TicketId,
    pub(super) slot: SlabKey,
}

impl Band {
    pub(super) fn new(priority: Priority, config: BandConfig, now: Instant) -> Self {
        Self {
            priority,
            config,
            usage: Usage::default(),
            idle_since: now,
            open: false,
            turns: 0,
            owed: 0,
            queues: Slab::default(),
            by_id: BTreeMap::new(),
            waiting: BTreeSet::new(),
            idle: BTreeSet::new(),
            by_arrival: BTreeSet::new(),
            next_turn: 0,
            waits: RecentWait::default(),
            last_counter: 0,
        }
    }

    /// Returns the flow of that tenant, begun if it is new.
    pub(super) fn queue(&mut self, now: Instant, id: &FairnessId) -> SlabKey {
        if let Some(&queue) = self.by_id.get(id) {
            return queue;
        }
        let queue = self.queues.insert_with(|_| FlowQueue::new(id.clone(), now));
        self.by_id.insert(id.clone(), queue);
        self.idle.insert((now, queue));
        queue
    }

    pub(super) fn push(&mut self, now: Instant, seat: Seat) {
        // Before the queue joins those that wait: its own counter must not set the lift.
        let turn = self.next_turn;
        let lift = self.lift();
        let Some(queue) = self.queues.get_mut(seat.queue) else { return };
        if matches!(queue.state, State::Idle(_)) {
            queue.counter = queue.counter.max(lift);
            queue.turn = turn;
            self.next_turn += 1;
        }
        queue.push(seat.place, seat.arrival.at, Usage::of_one(seat.bytes));
        self.usage.add(Usage::of_one(seat.bytes));
        self.by_arrival.insert(seat.arrival);
        self.reorder(now, seat.queue);
    }

    /// Takes out a request that is dispatched, and charges its flow: for its prompt, and as a debt for the answer that
    /// it is expected to get.
    pub(super) fn serve(&mut self, now: Instant, seat: Seat, tokens: TicketTokens) {
        if let Some(queue) = self.queues.get_mut(seat.queue) {
            let TicketTokens { uncached, output } = tokens;
            let cost = self.config.fairness.dispatch_cost(&queue.id, uncached);
            let debt = self.config.fairness.output_cost(&queue.id, output);
            queue.counter = queue.counter.saturating_add(cost).saturating_add(debt);
            // Other gateways hear of what was used, and of no debt.
            queue.untold = queue.untold.saturating_add_unsigned(cost);
            queue.turn = self.next_turn;
            self.next_turn += 1;
        }
        self.waits.note(now, now.saturating_since(seat.arrival.at));
        self.remove(now, seat);
    }

    /// Returns the time that a request may expect to wait here: as long as the last ones that were dispatched, and no
    /// less than the one that waits for longest has waited by now.
    pub(super) fn expected_wait(&self, now: Instant) -> Duration {
        let oldest = self.by_arrival.first().map(|oldest| now.saturating_since(oldest.at));
        oldest.max(self.waits.mean(now)).unwrap_or_default()
    }

    /// Takes out a request that is not dispatched.
    pub(super) fn remove(&mut self, now: Instant, seat: Seat) {
        let Some(queue) = self.queues.get_mut(seat.queue) else { return };
        queue.remove(seat.place, seat.arrival.at, Usage::of_one(seat.bytes));
        self.usage.remove(Usage::of_one(seat.bytes));
        self.by_arrival.remove(&seat.arrival);
        self.reorder(now, seat.queue);
        if self.usage.requests == 0 {
            (self.idle_since, self.owed) = (now, 0);
        }
    }

    /// Charges output tokens to a flow in place of those that its request was expected to get, if the flow is still
    /// remembered.
    pub(super) fn charge(&mut self, id: &FairnessId, output_tokens: u32, expected: u32) {
        let cost = self.config.fairness.output_cost(id, output_tokens);
        let debt = self.config.fairness.output_cost(id, expected);
        self.recount(id, |queue| {
            queue.counter = queue.counter.saturating_add(cost).saturating_sub(debt);
            queue.untold = queue.untold.saturating_add_unsigned(cost);
        });
    }

    /// Charges a flow for what its tenant has used at other gateways, if it is still remembered.
    pub(super) fn charge_elsewhere(&mut self, id: &FairnessId, cost: u64) {
        if self.config.fairness.charges_tokens() {
            self.recount(id, |queue| queue.counter = queue.counter.saturating_add(cost));
        }
    }

    /// Takes what flows were charged for requests of this gateway since the last time.
    pub(super) fn take_charges(&mut self) -> Vec<(FlowKey, i64)> {
        let mut charges = Vec::new();
        for queue in self.by_id.values() {
            let Some(queue) = self.queues.get_mut(*queue) else { continue };
            let untold = std::mem::take(&mut queue.untold);
            if untold != 0 {
                let flow = FlowKey { id: queue.id.clone(), priority: self.priority };
                charges.push((flow, untold));
            }
        }
        charges
    }

    /// Puts in place of what a dispatch was charged for what it costs.
    pub(super) fn correct(&mut self, id: &FairnessId, charged: u32, found: u32) {
        let cost = |tokens| self.config.fairness.dispatch_cost(id, tokens);
        let charged = cost(charged);
        let found = cost(found);
        self.recount(id, |queue| {
            queue.counter = queue.counter.saturating_add(found).saturating_sub(charged);
            let untold = queue.untold.saturating_add_unsigned(found);
            queue.untold = untold.saturating_sub_unsigned(charged);
        });
    }

    fn recount(&mut self, id: &FairnessId, recount: impl FnOnce(&mut FlowQueue)) {
        let Some(&slot) = self.by_id.get(id) else { return };
        let Some(queue) = self.queues.get_mut(slot) else { return };
        recount(queue);
        // A new counter neither fills nor empties a queue, so the time is not looked at.
        self.reorder(Instant::default(), slot);
    }

    /// Returns the request to dispatch next.
    pub(super) fn next(&self) -> Option<SlabKey> {
        let (_, queue) = self.waiting.first()?;
        Some(self.queues.get(*queue)?.head()?.slot)
    }

    /// Returns all that wait, the newest first.
    pub(super) fn newest(&self) -> impl Iterator<Item = SlabKey> {
        self.by_arrival.iter().rev().map(|arrival| arrival.slot)
    }

    /// Returns the flows in which a request waits, by name, with the first arrival of the one that has
    /// waited longest.
    pub(super) fn sizes(&self) -> impl Iterator<Item = (&FairnessId, Usage, Instant)> {
        let queues = self.by_id.values().filter_map(|queue| self.queues.get(*queue));
        queues.filter_map(|queue| Some((&queue.id, queue.usage, queue.oldest()?)))
    }

    /// Forgets flows that have been idle for long.
    pub(super) fn collect(&mut self, now: Instant) {
        while self.idle.first().is_some_and(|(since, _)| *since + FLOW_IDLE_MAX <= now) {
            self.forget_oldest();
        }
    }

    /// Returns the counter that a flow is lifted to when it begins to wait.
    fn lift(&self) -> u64 {
        let lowest = self.waiting.first().and_then(|(_, queue)| self.queues.get(*queue));
        lowest.map_or(self.last_counter, |queue| queue.counter)
    }

    /// Puts a flow where it belongs after a change.
    fn reorder(&mut self, now: Instant, slot: SlabKey) {
        let Some(queue) = self.queues.get_mut(slot) else { return };
        let state = match (self.config.fairness.standing(queue), queue.state) {
            (Some(rank), _) => State::Waiting(rank),
            (None, State::Waiting(_)) => State::Idle(now),
            (None, idle) => idle,
        };
        // A set finds an entry only under the key that it was put in with: the state remembers that
        // key, and a counter that changed without this step would leave a stale entry behind.
        let before = std::mem::replace(&mut queue.state, state);
        let counter = queue.counter;
        if before == state {
            return;
        }
        match before {
            State::Waiting(rank) => self.waiting.remove(&(rank, slot)),
            State::Idle(since) => self.idle.remove(&(since, slot)),
        };
        match state {
            State::Waiting(rank) => self.waiting.insert((rank, slot)),
            State::Idle(since) => self.idle.insert((since, slot)),
        };
        if self.waiting.is_empty() {
            self.last_counter = counter;
        }
        if self.idle.len() > FLOWS_IDLE_MAX {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((_, slot)) = self.idle.pop_first() else { return };
        if let Some(queue) = self.queues.remove(slot) {
            self.by_id.remove(&queue.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn band_of_idle(flows: usize) -> Band {
        let mut band = Band::new(Priority(0), BandConfig::default(), at(0));
        for flow in 0..flows {
            let queue = band.queue(at(0), &FairnessId::new(&flow.to_string()));
            let arrival = QueuePosition { at: at(0), id: TicketId::default(), slot: queue };
            let place = Place { rank: Rank::default(), slot: queue };
            let seat = Seat { queue, place, arrival, bytes: 1 };
            band.push(at(0), seat);
            band.serve(at(1), seat, TicketTokens { uncached: 1, output: 0 });
        }
        band
    }

    #[test]
    fn a_flow_is_forgotten_after_five_idle_minutes() {
        let mut band = band_of_idle(2);
        band.collect(at(300));
        assert_eq!(band.by_id.len(), 2);
        band.collect(at(301));
        assert_eq!(band.by_id.len(), 0);
    }

    #[test]
    fn invented_tenants_push_out_idle_ones() {
        let band = band_of_idle(FLOWS_IDLE_MAX + 500);
        assert_eq!(band.by_id.len(), FLOWS_IDLE_MAX);
        assert_eq!(band.idle.len(), FLOWS_IDLE_MAX);
    }
}
