//! The parts of the shared store that a worker reads.

use std::ops::Range;

use crate::{
    exchange::Others,
    ledger::{Ledger, Row},
    model::{Instant, PlacementEvent, Snapshot, WorkerId},
};

/// Entries of the event ring that are kept for workers that have not read them yet. A worker that falls
/// further behind has served nothing while that many requests were placed: what it misses is learnt
/// again by use. At 0.6 to 1.5 kB for a long prompt, this is at most 1.5 MB of Envoy's memory a pool.
pub const RING_ENTRIES: u64 = 1024;

/// The parts of the store that a party of a turn wants to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wants {
    reach: Reach,
    /// Count of snapshots when this worker last took one in.
    snapshots: u64,
    /// First position of the event ring that this worker has not taken in.
    events: u64,
    /// The worker that looks at the rows of all others, if it does now.
    looks: Option<WorkerId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Nothing,
    Ledger,
    /// The ledger, and with it the snapshots and events that are new.
    News,
}

impl Wants {
    /// Wants nothing, not even the ledger: [`Seen::default`] serves.
    pub const NOTHING: Self = Self::of(Reach::Nothing, 0, 0);

    /// Wants the ledger alone, for a party that is no worker.
    pub const LEDGER: Self = Self::of(Reach::Ledger, 0, 0);

    pub(super) fn since(snapshots: u64, events: u64) -> Self {
        Self::of(Reach::News, snapshots, events)
    }

    const fn of(reach: Reach, snapshots: u64, events: u64) -> Self {
        Self { reach, snapshots, events, looks: None }
    }

    /// Wants the rows of all members but `me` too.
    pub(super) fn with_rows_but_of(self, me: WorkerId) -> Self {
        Self { looks: Some(me), ..self }
    }

    /// True if the ledger is to be read at all: each time costs some 10,000 instructions of Envoy's.
    #[must_use]
    pub fn ledger(&self) -> bool {
        self.reach != Reach::Nothing
    }

    /// True if the stored snapshot is new to this worker, by this ledger.
    #[must_use]
    pub fn snapshot(&self, ledger: &Ledger) -> bool {
        self.reach == Reach::News && ledger.snapshots != self.snapshots
    }

    /// Positions of the event ring that are new to this worker, by this ledger, as far as the ring still
    /// holds them.
    #[must_use]
    pub fn events(&self, ledger: &Ledger) -> Range<u64> {
        if self.reach != Reach::News {
            return 0..0;
        }
        // Counts never go back: if they did, the store was emptied and the ring begins anew.
        let next = if ledger.events < self.events { 0 } else { self.events };
        next.max(ledger.events.saturating_sub(RING_ENTRIES))..ledger.events
    }
}

impl Wants {
    /// Returns the members with wanted rows, by this ledger. The rows are to be read after it.
    pub fn rows(&self, ledger: &Ledger) -> impl Iterator<Item = WorkerId> {
        let me = self.looks;
        let members = ledger.members.iter().map(|member| member.worker);
        members.filter(move |worker| me.is_some_and(|me| me != *worker))
    }
}

/// The parts that a worker has read, as one moment of the store.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The ledger.
    pub ledger: Ledger,
    /// The ledger's version, for the compare-and-swap of [`super::Host::commit`].
    pub version: Version,
    /// The stored snapshot, if [`Wants::snapshot`] held and there is one.
    pub snapshot: Option<StoredSnapshot>,
    /// The stored knowledge of the other gateways, if [`Wants::snapshot`] held and there is any.
    pub others: Option<Box<Others>>,
    /// Entries of the event ring at the positions of [`Wants::events`], in their order.
    pub events: Vec<RingEntry>,
    /// Rows of the workers of [`Wants::rows`].
    pub rows: Vec<Row>,
}

/// A version of a stored value; `None` where the value was never written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version(pub Option<u32>);

/// A snapshot in the store.
#[derive(Clone, Debug)]
pub enum StoredSnapshot {
    /// A snapshot of this version.
    Readable {
        /// The snapshot.
        snapshot: Snapshot,
        /// Time at which this gateway received it, by its own clock.
        received_at: Instant,
    },
    /// Bytes that do not decode, with the reason: another version of this module wrote them.
    Unreadable(String),
}

/// A place of the event ring, as it was read.
#[derive(Clone, Debug)]
pub struct RingEntry {
    /// The position that was asked for.
    pub position: u64,
    /// The written entry; `None` if nothing was written there yet.
    pub written: Option<Written>,
}

/// An entry that was written to a place of the event ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Position that the entry was written for: another than the wanted one if the ring moved on.
    pub position: u64,
    /// The events, oldest first.
    pub events: Vec<PlacementEvent>,
}
