//! The board: what the workers of one Envoy know in common, in shared data.
//!
//! Per pool there is the ledger, which is changed by compare-and-swap; one snapshot, written by
//! whichever worker took the scraper's push; and a ring of notes in which each worker tells the
//! others what it placed. The ledger says how far both have come, so a worker learns all that is new
//! with the one read that a decision costs anyway: no messages, nothing to wake up, and a worker
//! that starts late reads on from what the ring still holds.
//!
//! Shared data is keyed by vm_id only, and with a WasmPlugin that is shared with strangers, hence
//! the prefix; the version changes with any layout.

mod shared_ledger;
mod worker_registry;

use std::collections::VecDeque;

use picker_core::{Instant, PlacementEvent, flow::FlowSize, ledger::Ledger, pull::PullLease};
use wire::{push::Stamp, shared_snapshot::SharedSnapshot};

use crate::{fast_format::FastFormat, host};

pub(crate) use self::{shared_ledger::SharedLedgerCell, worker_registry::WorkerRegistry};

/// Notes kept for workers that have not read them yet. A worker that falls further behind has
/// served nothing while that many requests were placed: what it misses is re-learnt by use. At 2 to
/// 5 kB for a long prompt and those of up to two requests that ended, this is at most 5 MB of Envoy's
/// memory a pool.
const NOTES_KEPT: u64 = 1024;

/// Tries to write a value that other workers write too. Each failed try means that another worker
/// was faster, so this many in a row take this many others in the same microseconds.
const TRIES_MAX: u32 = 256;

/// How far behind a note that was announced and is not written is given up: its writer is gone.
const GAP_MAX: u64 = 64;

/// How far the board has come, by the ledger.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extent {
    snapshots: u64,
    notes: u64,
}

impl From<&Ledger> for Extent {
    fn from(ledger: &Ledger) -> Self {
        Self { snapshots: ledger.snapshots, notes: ledger.notes }
    }
}

/// One pool's snapshot and notes, as one worker reads them.
#[derive(Debug)]
pub(crate) struct SharedStore {
    pool: String,
    snapshots_seen: u64,
    notes_seen: u64,
    /// Positions of this worker's own notes beyond what it has seen, oldest first. Taken in a second
    /// time, behind another's note about the same prompt, they would undo that one. At most
    /// [`NOTES_KEPT`]: the ring holds no older ones.
    own: VecDeque<u64>,
}

/// Who fetches snapshots, as it was read.
#[derive(Debug)]
pub(crate) struct PullLeaseRead {
    /// What it says.
    pub(crate) lease: PullLease,
    there: host::Shared,
}

/// What is new on the board.
#[derive(Debug, Default)]
pub(crate) struct Updates {
    /// The scraper's latest push, if it is new to this worker.
    pub(crate) snapshot: Option<SharedSnapshot>,
    /// Other workers' notes, oldest first.
    pub(crate) notes: Vec<PlacementEvent>,
}

impl SharedStore {
    /// The board of the pool of that name, of which nothing is known yet.
    pub(crate) fn of_pool(pool: &str) -> Self {
        Self { pool: pool.to_owned(), snapshots_seen: 0, notes_seen: 0, own: VecDeque::new() }
    }

    /// Sees to it that no first push is lost, and that no two workers take the first lease; from
    /// `on_configure`.
    pub(crate) fn create(&self) {
        host::create_shared(&self.snapshot_key());
        host::create_shared(&self.pull_key());
    }

    /// Reads what the ledger says is new.
    pub(crate) fn read(&mut self, extent: Extent) -> Updates {
        let mut news = Updates::default();
        if extent.notes < self.notes_seen {
            // Counts never go back: somebody else wrote here, and the board begins anew.
            *self = Self::of_pool(&self.pool);
        }
        if extent.snapshots != self.snapshots_seen {
            news.snapshot = SharedSnapshot::decode(&host::shared(&self.snapshot_key()).value);
            self.snapshots_seen = extent.snapshots;
        }
        self.notes_seen = self.notes_seen.max(extent.notes.saturating_sub(NOTES_KEPT));
        while self.notes_seen < extent.notes {
            let next = self.notes_seen;
            if !self.passes_own(next) {
                match wire::placement_event::decode_at(&host::shared(&self.note_key(next)).value) {
                    Some((position, notes)) if position == next => news.notes.extend(notes),
                    // Overwritten by a newer one: this worker was slow, and the note is lost on it.
                    Some((position, _)) if position > next => (),
                    // Announced and not written yet: its writer is at it right now, or died there.
                    _ if extent.notes - next < GAP_MAX => break,
                    _ => (),
                }
            }
            self.notes_seen += 1;
        }
        news
    }

    /// Whether the note at this position is this worker's own.
    fn passes_own(&mut self, position: u64) -> bool {
        while self.own.front().is_some_and(|own| *own < position) {
            self.own.pop_front();
        }
        self.own.pop_front_if(|own| *own == position).is_some()
    }

    /// Tells the other workers, at a place that the ledger gave.
    pub(crate) fn post_notes(&mut self, position: u64, notes: &[PlacementEvent]) {
        match wire::placement_event::encode_at(position, notes) {
            Ok(bytes) => host::share(&self.note_key(position), &bytes),
            Err(error) => log::warn!("a placement stays unknown to the other workers: {error}"),
        }
        if position == self.notes_seen {
            self.notes_seen += 1;
            return;
        }
        self.own.push_back(position);
        while self.own.front().is_some_and(|own| own + NOTES_KEPT < position) {
            self.own.pop_front();
        }
    }

    /// Puts a verified snapshot on the board, if `admit` takes it after the one that is there. Two
    /// workers that take pushes at once cannot put the older one on top.
    pub(crate) fn post_snapshot<E>(
        &self,
        posted: &SharedSnapshot,
        admit: impl Fn(Option<Stamp>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (key, bytes) = (self.snapshot_key(), posted.encode());
        for _ in 0..TRIES_MAX {
            let there = host::shared(&key);
            admit(SharedSnapshot::decode(&there.value).map(|posted| posted.stamp))?;
            if host::share_if_unchanged(&key, &bytes, &there) {
                break;
            }
        }
        Ok(())
    }

    /// What the snapshot on the board was signed with, if there is one.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        SharedSnapshot::decode(&host::shared(&self.snapshot_key()).value).map(|posted| posted.stamp)
    }

    /// Who fetches snapshots.
    pub(crate) fn pull_lease(&self) -> PullLeaseRead {
        let there = host::shared(&self.pull_key());
        PullLeaseRead { lease: wire::pull::decode(&there.value), there }
    }

    /// Takes that lease, unless another worker took it since it was read; false if one did.
    pub(crate) fn take_pull_lease(&self, read: &PullLeaseRead, lease: PullLease) -> bool {
        host::share_if_unchanged(&self.pull_key(), &wire::pull::encode(lease), &read.there)
    }

    fn pull_key(&self) -> String {
        key(&self.pool, "pull")
    }

    /// Shows what waits, for whoever reports on the pool.
    pub(crate) fn post_queues(&self, now: Instant, flows: &[FlowSize]) {
        match wire::queues::encode(now, flows) {
            Ok(bytes) => host::share(&self.queues_key(), &bytes),
            Err(error) => log::warn!("what waits is not shown: {error}"),
        }
    }

    /// When the arbiter last showed what waits, and what did.
    pub(crate) fn queues(&self) -> (Instant, Vec<FlowSize>) {
        wire::queues::decode(&host::shared(&self.queues_key()).value).unwrap_or_default()
    }

    fn queues_key(&self) -> String {
        key(&self.pool, "queues")
    }

    fn snapshot_key(&self) -> String {
        key(&self.pool, "snapshot")
    }

    fn note_key(&self, position: u64) -> String {
        let mut key = key(&self.pool, "note/");
        key.push_number(position % NOTES_KEPT);
        key
    }
}

fn key(pool: &str, what: &str) -> String {
    /// What is appended to `what`: a worker's number at most.
    const MORE: usize = 16;
    let parts = ["llm-picker/", pool, "/v1/", what];
    let mut key = String::with_capacity(parts.map(str::len).iter().sum::<usize>() + MORE);
    key.extend(parts);
    key
}
