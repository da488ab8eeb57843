//! A store in memory, for workers that live in one process.

use std::collections::BTreeMap;

use super::{
    Proposal, Seen, StoredSnapshot, Version, Wants,
    seen::{RING_ENTRIES, RingEntry, Written},
};
use crate::{
    exchange::Others,
    ledger::{Heartbeat, Ledger, Row},
    model::{Instant, PlacementEvent, Snapshot, WorkerId},
};

/// A pool's shared store as plain data: what Envoy's shared data is to its workers.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    ledger: Ledger,
    /// Number of writes of the ledger.
    version: u32,
    snapshot: Option<(Snapshot, Instant)>,
    others: Option<Box<Others>>,
    /// By position modulo [`RING_ENTRIES`].
    ring: BTreeMap<u64, Written>,
    heartbeats: BTreeMap<WorkerId, Heartbeat>,
}

impl MemoryStore {
    /// Returns the ledger as it is.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Reads the wanted parts.
    #[must_use]
    pub fn read(&self, wants: &Wants) -> Seen {
        if !wants.ledger() {
            return Seen::default();
        }
        let entry = |position| {
            let written = self.ring.get(&(position % RING_ENTRIES)).cloned();
            RingEntry { position, written }
        };
        let snapshot = self.snapshot.as_ref().filter(|_| wants.snapshot(&self.ledger));
        Seen {
            ledger: self.ledger.clone(),
            version: Version(Some(self.version)),
            snapshot: snapshot.map(|(snapshot, received_at)| StoredSnapshot::Readable {
                snapshot: snapshot.clone(),
                received_at: *received_at,
            }),
            others: self.others.as_ref().filter(|_| wants.snapshot(&self.ledger)).cloned(),
            events: wants.events(&self.ledger).map(entry).collect(),
            rows: wants.rows(&self.ledger).map(|worker| self.row(worker)).collect(),
        }
    }

    fn row(&self, worker: WorkerId) -> Row {
        Row { worker, heartbeat: self.heartbeat(worker).cloned() }
    }

    /// Returns the heartbeat that a worker has shown last.
    #[must_use]
    pub fn heartbeat(&self, worker: WorkerId) -> Option<&Heartbeat> {
        self.heartbeats.get(&worker)
    }

    /// Writes a worker's heartbeat.
    pub fn show(&mut self, worker: WorkerId, heartbeat: Heartbeat) {
        self.heartbeats.insert(worker, heartbeat);
    }

    /// Removes a worker's heartbeat, if it is of so many beats.
    pub fn remove_heartbeat(&mut self, worker: WorkerId, beats: u64) {
        self.heartbeats.retain(|it, shown| *it != worker || shown.beats != beats);
    }

    /// Writes a proposed ledger, and the entry of the event ring that goes with it, unless the ledger was
    /// written since it was read; false if it was.
    pub fn commit(&mut self, proposal: &Proposal) -> bool {
        let holds = self.commit_ledger(proposal);
        if let Some(Written { position, events }) = proposal.entry().filter(|_| holds) {
            self.publish(*position, events.clone());
        }
        holds
    }

    /// Writes a proposed ledger by itself, for a host that writes the entry later, unless it was written
    /// since it was read; false if it was.
    pub fn commit_ledger(&mut self, proposal: &Proposal) -> bool {
        let is_unchanged = proposal.version() == Version(Some(self.version));
        if is_unchanged {
            self.ledger.clone_from(proposal.ledger());
            self.version = self.version.wrapping_add(1);
        }
        is_unchanged
    }

    /// Returns the events of an entry of the event ring; none of one that is not there.
    #[must_use]
    pub fn entry(&self, position: u64) -> &[PlacementEvent] {
        let written = self.ring.get(&(position % RING_ENTRIES));
        written.filter(|it| it.position == position).map_or(&[], |it| it.events.as_slice())
    }

    /// Writes an entry of the event ring.
    pub fn publish(&mut self, position: u64, events: Vec<PlacementEvent>) {
        self.ring.insert(position % RING_ENTRIES, Written { position, events });
    }

    /// Stores a snapshot. [`super::SnapshotNotice`] then tells the workers.
    pub fn store_snapshot(&mut self, snapshot: Snapshot, received_at: Instant) {
        self.snapshot = Some((snapshot, received_at));
    }

    /// Stores what is known of the other gateways. [`super::ExchangeNotice`] then tells the workers.
    pub fn store_others(&mut self, others: Others) {
        self.others = Some(Box::new(others));
    }

    /// Returns what is known of the other gateways.
    #[must_use]
    pub fn others(&self) -> Option<&Others> {
        self.others.as_deref()
    }

    /// Returns the entries of the event ring from a position on, oldest first, for an exchange that tells
    /// other gateways of them.
    pub fn entries(&self, from: u64) -> impl Iterator<Item = &Written> {
        let positions =
            from.max(self.ledger.events.saturating_sub(RING_ENTRIES))..self.ledger.events;
        positions.filter_map(|position| {
            let written = self.ring.get(&(position % RING_ENTRIES))?;
            (written.position == position).then_some(written)
        })
    }

    /// Returns the heartbeats that workers have shown.
    pub fn heartbeats(&self) -> impl Iterator<Item = &Heartbeat> {
        self.heartbeats.values()
    }
}
