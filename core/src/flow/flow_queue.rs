//! The queue of one flow.

use std::collections::BTreeSet;

use super::{FairnessId, Usage, rank::Rank, slab::SlabKey};
use crate::model::Instant;

/// The requests of one tenant that wait in one band, and what its fairness policy remembers of the
/// tenant.
#[derive(Clone, Debug)]
pub(super) struct FlowQueue {
    pub(super) id: FairnessId,
    places: BTreeSet<Place>,
    /// First arrivals of its requests, whatever the order in which they go.
    arrivals: BTreeSet<(Instant, SlabKey)>,
    pub(super) usage: Usage,
    /// Virtual tokens used (token-fair).
    pub(super) counter: u64,
    /// The part of them that requests of this gateway used since it was last taken: less than nothing where charges
    /// were taken back.
    pub(super) untold: i64,
    /// Turn of the flow, relative to others of its band (round robin).
    pub(super) turn: u64,
    /// The set of its band that the queue is in.
    pub(super) state: State,
}

/// The set of its band that a queue is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// A request waits; in the order of flows at this rank.
    Waiting(Rank),
    /// No request waits, since then.
    Idle(Instant),
}

/// A request in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) rank: Rank,
    pub(super) slot: SlabKey,
}

impl FlowQueue {
    pub(super) fn new(id: FairnessId, now: Instant) -> Self {
        Self {
            id,
            places: BTreeSet::new(),
            arrivals: BTreeSet::new(),
            usage: Usage::default(),
            counter: 0,
            untold: 0,
            turn: 0,
            state: State::Idle(now),
        }
    }

    pub(super) fn head(&self) -> Option<&Place> {
        self.places.first()
    }

    /// Returns the first arrival of the request that has waited longest.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.arrivals.first().map(|(arrived, _)| *arrived)
    }

    pub(super) fn push(&mut self, place: Place, arrived: Instant, usage: Usage) {
        self.places.insert(place);
        self.arrivals.insert((arrived, place.slot));
        self.usage.add(usage);
    }

    pub(super) fn remove(&mut self, place: Place, arrived: Instant, usage: Usage) {
        if self.places.remove(&place) {
            self.arrivals.remove(&(arrived, place.slot));
            self.usage.remove(usage);
        }
    }
}
