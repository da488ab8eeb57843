//! The store that the workers of one Envoy share, with the one property of Envoy's that a store in
//! memory lacks: an entry of the event ring is written later than its position is announced.

use std::{collections::VecDeque, time::Duration};

use picker_core::{
    Instant, PlacementEvent, Snapshot,
    exchange::{GatewayReport, Others},
    ledger::{Heartbeat, WorkerId},
    worker::{
        Effect, ExchangeNotice, Host, MemoryStore, Party, Proposal, Seen, SnapshotNotice, Wants,
        turn,
    },
};

/// Time from a position's announcement in the ledger to its entry in the ring: about what a worker
/// takes to carry out its effects. Another worker may look for the entry before it is there.
const WRITE_TIME: Duration = Duration::from_micros(20);

/// Envoy's shared data for one pool.
#[derive(Debug, Default)]
pub(crate) struct SharedStore {
    memory: MemoryStore,
    /// Entries that are announced and not written yet, in the order of their writing.
    unwritten: VecDeque<UnwrittenEntry>,
    /// Placements that were written together with the ledger, which other gateways are still to hear of.
    written: Vec<PlacementEvent>,
}

/// An entry of the event ring on its way into the ring.
#[derive(Debug)]
struct UnwrittenEntry {
    /// Time from which on other workers find the entry.
    written_at: Instant,
    position: u64,
    events: Vec<PlacementEvent>,
}

impl SharedStore {
    /// Runs one turn of a party on the store as it is now; returns the effects to be carried out.
    pub(crate) fn turn<P: Party>(
        &mut self,
        now: Instant,
        party: &mut P,
        input: P::Input,
    ) -> Vec<Effect> {
        self.write_due(now);
        let (memory, written) = (&mut self.memory, &mut self.written);
        turn(&mut Seat { party, memory, written }, now, input)
    }

    /// Takes the placements that were written together with the ledger since they were taken last.
    pub(crate) fn take_written(&mut self) -> Vec<PlacementEvent> {
        std::mem::take(&mut self.written)
    }

    /// Stores a snapshot and tells the workers that there is one. Returns the effects of that.
    pub(crate) fn store_snapshot(&mut self, now: Instant, snapshot: Snapshot) -> Vec<Effect> {
        self.memory.store_snapshot(snapshot, now);
        self.turn(now, &mut SnapshotNotice, ())
    }

    /// Writes a worker's heartbeat.
    pub(crate) fn show(&mut self, worker: WorkerId, heartbeat: Heartbeat) {
        self.memory.show(worker, heartbeat);
    }

    /// Stores what is known of the other gateways, and tells the workers of it and of their events. Returns
    /// the effects that are left.
    pub(crate) fn store_others(
        &mut self,
        now: Instant,
        others: Others,
        events: Vec<PlacementEvent>,
    ) -> Vec<Effect> {
        self.memory.store_others(others);
        let mut left = Vec::new();
        for effect in self.turn(now, &mut ExchangeNotice, events) {
            if let Effect::Publish { position, events } = effect {
                self.publish(now, position, events);
            } else {
                left.push(effect);
            }
        }
        left
    }

    /// Returns what is known of the other gateways.
    pub(crate) fn others(&self) -> Option<&Others> {
        self.memory.others()
    }

    /// Returns what the store says of this gateway, for the exchange.
    pub(crate) fn report(&self, now: Instant) -> GatewayReport {
        let (ledger, others) = (self.memory.ledger(), self.memory.others());
        GatewayReport::of_store(now, ledger, self.memory.heartbeats(), others)
    }

    /// Starts to write an entry at a position that the ledger gave.
    pub(crate) fn publish(&mut self, now: Instant, position: u64, events: Vec<PlacementEvent>) {
        let written_at = now + WRITE_TIME;
        self.unwritten.push_back(UnwrittenEntry { written_at, position, events });
    }

    /// Puts the entries into the ring that are written by now. Virtual time never goes back, so the
    /// first that is not due ends the search.
    fn write_due(&mut self, now: Instant) {
        while let Some(entry) = self.unwritten.pop_front_if(|entry| entry.written_at <= now) {
            self.memory.publish(entry.position, entry.events);
        }
    }
}

/// A party at its place before the store, for one turn.
struct Seat<'a, P> {
    party: &'a mut P,
    memory: &'a mut MemoryStore,
    written: &'a mut Vec<PlacementEvent>,
}

impl<P> Host<P> for Seat<'_, P> {
    fn lend<T>(&mut self, part: impl FnOnce(&mut P) -> T) -> T {
        part(self.party)
    }

    fn read(&mut self, wants: &Wants) -> Seen {
        self.memory.read(wants)
    }

    fn commit(&mut self, proposal: &Proposal) -> bool {
        let holds = self.memory.commit(proposal);
        if holds && let Some(entry) = proposal.entry() {
            self.written.extend(entry.events.iter().cloned());
        }
        holds
    }
}

#[cfg(test)]
impl SharedStore {
    /// Requests in flight on all endpoints, by the ledger.
    pub(crate) fn in_flight(&self) -> u64 {
        self.memory.ledger().accounts.requests()
    }

    /// Prompt tokens that no endpoint has computed yet, by the ledger.
    pub(crate) fn uncomputed(&self) -> u32 {
        self.memory.ledger().accounts.iter().map(|account| account.tokens).sum()
    }
}
