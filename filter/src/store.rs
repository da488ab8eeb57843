//! The store that the workers of one Envoy share, in shared data.
//!
//! Per pool there is the ledger, which is changed by compare-and-swap; one snapshot, written by
//! the worker that took the scraper's push; and the ring of events in which each worker tells the
//! others what it placed. The ledger counts both, and the ring's newest entries stand behind it, so a worker
//! learns all that is new with the one read that a decision costs anyway: no messages, nothing to wake up, and
//! a worker that starts late reads on from the entries that the ring still holds.
//!
//! Shared data is keyed by vm_id only, and with a WasmPlugin that is shared with strangers, hence
//! the prefix of each key; `wire::layout` says why it has the layouts' versions.

mod heartbeats;
mod homes;
mod others;
mod tallies;

use picker_core::{
    Instant, PlacementEvent,
    flow::{FlowKey, FlowSize},
    ledger::{Accounts, Ledger, Members, Row},
    pull::PullLease,
    worker::{Proposal, RING_ENTRIES, RingEntry, Seen, StoredSnapshot, Version, Wants, Written},
};
use wire::{
    layout::key,
    placement_event::{Origin, StoredBatch},
    push::{PushHistory, Stamp},
    queues::Queues,
    shared_snapshot::SharedSnapshot,
};

use crate::{
    fast_format::FastFormat,
    host::{self, Shared},
};

pub(crate) use heartbeats::Heartbeats;
pub(crate) use homes::{homes, keep_home};
pub(crate) use tallies::{SILENCE_MAX, Tallies};

/// Tries to write a value that other workers write too. Each failed try means that another worker
/// was faster, so this many in a row take this many others in the same microseconds.
pub(crate) const TRIES_MAX: u32 = 256;

/// The part of shared data that belongs to one pool.
#[derive(Debug)]
pub(crate) struct SharedStore {
    pool: String,
    /// Key of the ledger, kept as it is used several times a request.
    ledger_key: String,
}

/// What a worker shows of a pool's queues.
#[derive(Debug)]
pub(crate) struct ShownQueues {
    /// Sizes of the flows that wait; `None` where another worker keeps the queues.
    pub(crate) flows: Option<Vec<FlowSize>>,
    /// Charges of tenants since the worker showed the last ones.
    pub(crate) charges: Vec<(FlowKey, i64)>,
}

impl ShownQueues {
    /// True if there is something to show.
    pub(crate) fn has_news(&self) -> bool {
        self.flows.is_some() || !self.charges.is_empty()
    }
}

/// The lease of the worker that fetches snapshots, as it was read.
#[derive(Debug)]
pub(crate) struct PullLeaseRead {
    pub(crate) lease: PullLease,
    /// The value that was read, with the version to compare and swap.
    read: Shared,
}

impl SharedStore {
    /// Opens the store of the pool of that name.
    pub(crate) fn for_pool(pool: &str) -> Self {
        Self { pool: pool.to_owned(), ledger_key: key(pool, "ledger") }
    }

    /// Creates the keys that are changed by compare-and-swap, so that no first change is lost and no
    /// two workers take the first lease. From `on_configure`.
    pub(crate) fn create(&self) {
        let keys = [self.snapshot_key(), self.pull_key(), self.others_key(), self.queues_key()];
        let keys = keys.iter().chain([&self.ledger_key]);
        keys.for_each(|key| host::create_shared(key));
        self.tallies().create();
    }

    /// Returns the counts of the pool's workers.
    pub(crate) fn tallies(&self) -> Tallies<'_> {
        Tallies { pool: &self.pool }
    }

    /// Reads the ledger, for a reader that changes nothing.
    pub(crate) fn ledger(&self) -> Ledger {
        wire::ledger::decode(&host::shared(&self.ledger_key).value)
    }

    /// Reads the wanted parts, and the ledger's own bytes, which [`SharedStore::commit`] needs.
    pub(crate) fn read(&self, wants: &Wants) -> (Seen, Vec<u8>) {
        if !wants.ledger() {
            return Default::default();
        }
        let Shared { value, cas } = host::shared(&self.ledger_key);
        let ledger = wire::ledger::decode(&value);
        // What is known of other gateways comes with a snapshot, and so is read together with it.
        let renews = wants.snapshot(&ledger);
        let snapshot = if renews { self.snapshot() } else { None };
        let others = if renews { self.others() } else { None };
        let recent = wire::ledger::recent(&value).at(wants.events(&ledger));
        let events = recent.map(|(position, shown)| self.entry(position, shown)).collect();
        let row = |worker| Row { worker, heartbeat: heartbeats::read(&self.pool, worker) };
        // After the ledger: a row that is newer than it is known by the number of its changes.
        let rows = wants.rows(&ledger).map(row).collect();
        (Seen { ledger, version: Version(cas), snapshot, others, events, rows }, value)
    }

    /// Writes a proposed ledger, with the entry of the event ring that goes with it, unless another worker
    /// wrote it since these bytes of it were read; false if one did.
    pub(crate) fn commit(&self, proposal: &Proposal, before: &[u8]) -> bool {
        let ledger = proposal.ledger();
        let members = ledger.members.iter().len();
        let entry = proposal.entry().and_then(|Written { position, events }| {
            Some((*position, encode_entry(*position, Origin::Own, events)?))
        });
        let shown =
            entry.as_ref().filter(|(_, bytes)| wire::ledger::takes_entry(members, bytes.len()));
        let next = shown.map_or(0, |(_, bytes)| bytes.len());
        let (old, recent) = wire::ledger::recent(before).make_room(members, next);
        // Before the ledger is without them, so that a worker finds each in one place or the other. If another
        // worker is faster, they are written twice, and say the same.
        old.iter().for_each(|(position, bytes)| host::share(&self.event_key(position), bytes));
        let shown = shown.map(|(position, bytes)| (*position, bytes.as_slice()));
        let bytes = wire::ledger::encode_with(ledger, recent, shown);
        let holds = host::share_if_unchanged(&self.ledger_key, &bytes, proposal.version().0);
        let is_apart = holds && shown.is_none();
        if let Some((position, bytes)) = entry.filter(|_| is_apart) {
            host::share(&self.event_key(position), &bytes);
        }
        holds
    }

    /// Empties what a pool without requests has stored. The ledger keeps its counters, 80 bytes, so that a
    /// worker which comes back to the pool has not read farther than there is; it joins again.
    pub(crate) fn clear(&self) {
        for key in [self.snapshot_key(), self.pull_key(), self.queues_key(), self.others_key()] {
            host::empty_shared(&key);
        }
        // Of a pool that no request was for nothing else is stored.
        if host::shared(&self.ledger_key).value.is_empty() {
            return;
        }
        for position in 0..RING_ENTRIES {
            host::empty_shared(&self.event_key(position));
        }
        for _ in 0..TRIES_MAX {
            let stored = host::shared(&self.ledger_key);
            let ledger = wire::ledger::decode(&stored.value);
            let (accounts, members) = (Accounts::default(), Members::default());
            let emptied = Ledger { accounts, members, ..ledger.clone() };
            let bytes = wire::ledger::encode(&emptied);
            if host::share_if_unchanged(&self.ledger_key, &bytes, stored.cas) {
                for member in ledger.members.iter() {
                    host::empty_shared(&heartbeats::heartbeat_key(&self.pool, member.worker));
                }
                return self.tallies().clear();
            }
        }
    }

    fn snapshot(&self) -> Option<StoredSnapshot> {
        let SharedSnapshot { received_at, body, .. } =
            SharedSnapshot::decode(&host::shared(&self.snapshot_key()).value)?;
        Some(match wire::snapshot::decode(&body) {
            Ok(snapshot) => StoredSnapshot::Readable { snapshot, received_at },
            // Decoded before it was stored: so another version of this module stored it.
            Err(error) => StoredSnapshot::Unreadable(error.to_string()),
        })
    }

    /// Reads an entry of the event ring for a worker.
    fn entry(&self, position: u64, shown: Option<&[u8]>) -> RingEntry {
        let written = self.batch(position, shown);
        let written =
            written.map(|StoredBatch { position, events, .. }| Written { position, events });
        RingEntry { position, written }
    }

    /// Reads an entry of the event ring: by its bytes if the ledger shows them, else from its own place.
    fn batch(&self, position: u64, shown: Option<&[u8]>) -> Option<StoredBatch> {
        match shown {
            Some(bytes) => wire::placement_event::decode_at(bytes),
            None => {
                wire::placement_event::decode_at(&host::shared(&self.event_key(position)).value)
            }
        }
    }

    /// Writes an entry of the event ring, at a position that the ledger gave.
    pub(crate) fn publish(&self, position: u64, origin: Origin, events: &[PlacementEvent]) {
        if let Some(bytes) = encode_entry(position, origin, events) {
            host::share(&self.event_key(position), &bytes);
        }
    }

    /// Stores the verified snapshot that `admit` makes after the pushes before it, if it makes one. Of two
    /// workers that take pushes at once, none can put the older one on top.
    pub(crate) fn store_snapshot<E>(
        &self,
        admit: impl Fn(PushHistory) -> Result<SharedSnapshot, E>,
    ) -> Result<(), E> {
        let key = self.snapshot_key();
        for _ in 0..TRIES_MAX {
            let stored = host::shared(&key);
            let before = SharedSnapshot::decode(&stored.value);
            // Asked anew with each try: the snapshot that was faster may be the newer one.
            let admitted = admit(before.map(SharedSnapshot::into_history).unwrap_or_default())?;
            if host::share_if_unchanged(&key, &admitted.encode(), stored.cas) {
                break;
            }
        }
        Ok(())
    }

    /// Reads the stamp that the stored snapshot was signed with, if there is one.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        SharedSnapshot::decode(&host::shared(&self.snapshot_key()).value).map(|posted| posted.stamp)
    }

    /// Reads the lease of the worker that fetches snapshots.
    pub(crate) fn pull_lease(&self) -> PullLeaseRead {
        let read = host::shared(&self.pull_key());
        PullLeaseRead { lease: wire::pull::decode(&read.value), read }
    }

    /// Takes that lease unless another worker took it since it was read; false if one did.
    pub(crate) fn take_pull_lease(&self, lease: PullLease, before: &PullLeaseRead) -> bool {
        host::share_if_unchanged(&self.pull_key(), &wire::pull::encode(lease), before.read.cas)
    }

    /// Shows the sizes of flows that wait, where this worker is the arbiter, and adds what it has charged tenants, for
    /// reports on the pool.
    pub(crate) fn show_queues(&self, now: Instant, shown: ShownQueues) {
        let ShownQueues { flows, charges } = shown;
        let key = self.queues_key();
        for _ in 0..TRIES_MAX {
            let stored = host::shared(&key);
            let mut queues = wire::queues::decode(&stored.value).unwrap_or_default();
            if let Some(flows) = &flows {
                queues.seen_at = now;
                queues.flows.clone_from(flows);
            }
            queues.tenants.add(now, &charges);
            match wire::queues::encode(&queues) {
                Ok(bytes) if host::share_if_unchanged(&key, &bytes, stored.cas) => break,
                // Another worker has added its own.
                Ok(_) => (),
                Err(error) => return log::warn!("failed to publish queue sizes: {error}"),
            }
        }
    }

    /// Reads the queues that the arbiter showed last.
    pub(crate) fn queues(&self) -> Queues {
        wire::queues::decode(&host::shared(&self.queues_key()).value).unwrap_or_default()
    }

    fn pull_key(&self) -> String {
        key(&self.pool, "pull")
    }

    fn queues_key(&self) -> String {
        key(&self.pool, "queues")
    }

    fn snapshot_key(&self) -> String {
        key(&self.pool, "snapshot")
    }

    fn event_key(&self, position: u64) -> String {
        let mut key = key(&self.pool, "note/");
        key.push_number(position % RING_ENTRIES);
        key
    }
}

/// Returns the bytes of an entry of the event ring; `None` for one that is too large, which the log tells.
fn encode_entry(position: u64, origin: Origin, events: &[PlacementEvent]) -> Option<Vec<u8>> {
    let encoded = wire::placement_event::encode_at(position, origin, events);
    encoded.map_err(|error| log::warn!("failed to publish placement events: {error}")).ok()
}
