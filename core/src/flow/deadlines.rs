//! The deadlines of requests that wait.

use std::collections::BTreeSet;

use super::{Outcome, TicketId, Ttl, slab::SlabKey};
use crate::{
    ledger::{PhaseKind, PoolPhase},
    model::Instant,
};

/// The deadlines of all that wait. A request's budget depends on the kind, and counts from the
/// later of its arrival and the kind's beginning, so a pool that comes back finds the requests
/// that waited for it still there.
#[derive(Clone, Debug)]
pub(super) struct Deadlines {
    order: BTreeSet<(Instant, TicketId, SlabKey)>,
    empty_ttl: Ttl,
    phase: PoolPhase,
}

/// The facts that one request's deadline follows from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) id: TicketId,
    pub(super) arrived: Instant,
    pub(super) ttl: Ttl,
}

impl Deadlines {
    pub(super) fn new(empty_ttl: Ttl, phase: PoolPhase) -> Self {
        Self { order: BTreeSet::new(), empty_ttl, phase }
    }

    pub(super) fn phase(&self) -> PoolPhase {
        self.phase
    }

    fn deadline(&self, patience: Patience) -> Option<Instant> {
        let ttl = match self.phase.kind {
            PhaseKind::Serving => patience.ttl,
            PhaseKind::Empty => self.empty_ttl,
        };
        ttl.deadline(patience.arrived.max(self.phase.since))
    }

    pub(super) fn insert(&mut self, slot: SlabKey, patience: Patience) {
        if let Some(deadline) = self.deadline(patience) {
            self.order.insert((deadline, patience.id, slot));
        }
    }

    pub(super) fn remove(&mut self, slot: SlabKey, patience: Patience) {
        if let Some(deadline) = self.deadline(patience) {
            self.order.remove(&(deadline, patience.id, slot));
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(deadline, ..)| *deadline)
    }

    /// Returns a request that has waited its time.
    pub(super) fn due(&self, now: Instant) -> Option<SlabKey> {
        self.order.first().filter(|(deadline, ..)| *deadline <= now).map(|(.., slot)| *slot)
    }

    /// Begins another phase, with every request that waits. The one pass over all of them there is:
    /// it costs well under a millisecond for 5,000, and happens at most once a tick.
    pub(super) fn begin(
        &mut self,
        phase: PoolPhase,
        waiting: impl Iterator<Item = (SlabKey, Patience)>,
    ) {
        self.phase = phase;
        self.order = waiting
            .filter_map(|(slot, patience)| Some((self.deadline(patience)?, patience.id, slot)))
            .collect();
    }

    /// Returns the outcome of waiting too long in this phase.
    pub(super) fn outcome(&self) -> Outcome {
        match self.phase.kind {
            PhaseKind::Serving => Outcome::EvictedTtl,
            PhaseKind::Empty => Outcome::EvictedNoEndpoints,
        }
    }
}
