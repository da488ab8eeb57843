//! When waiting must end.

use std::collections::BTreeSet;

use super::{Outcome, TicketId, Ttl, slab::Slot};
use crate::{Instant, ledger::Spell};

/// Whether the pool has endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Regime {
    /// It has: a request waits for room, for its own time to live.
    Serving,
    /// It has none: a request waits for the pool to come back, for `noEndpointRequestTTL`.
    Empty,
}

/// The deadlines of all that wait. A request's budget depends on the regime, and counts from the
/// later of its arrival and the regime's beginning, so a pool that comes back finds the requests
/// that waited for it still there.
#[derive(Debug)]
pub(super) struct Deadlines {
    order: BTreeSet<(Instant, TicketId, Slot)>,
    empty_ttl: Ttl,
    spell: Spell,
}

/// What one request's deadline follows from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) id: TicketId,
    pub(super) arrived: Instant,
    pub(super) ttl: Ttl,
}

impl Deadlines {
    pub(super) fn new(empty_ttl: Ttl, spell: Spell) -> Self {
        Self { order: BTreeSet::new(), empty_ttl, spell }
    }

    pub(super) fn spell(&self) -> Spell {
        self.spell
    }

    fn of(&self, patience: Patience) -> Option<Instant> {
        let ttl = match self.spell.regime {
            Regime::Serving => patience.ttl,
            Regime::Empty => self.empty_ttl,
        };
        ttl.deadline(patience.arrived.max(self.spell.since))
    }

    pub(super) fn insert(&mut self, slot: Slot, patience: Patience) {
        if let Some(deadline) = self.of(patience) {
            self.order.insert((deadline, patience.id, slot));
        }
    }

    pub(super) fn remove(&mut self, slot: Slot, patience: Patience) {
        if let Some(deadline) = self.of(patience) {
            self.order.remove(&(deadline, patience.id, slot));
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(deadline, ..)| *deadline)
    }

    /// Someone whose time is up.
    pub(super) fn due(&self, now: Instant) -> Option<Slot> {
        self.order.first().filter(|(deadline, ..)| *deadline <= now).map(|(.., slot)| *slot)
    }

    /// Begins another spell, with everyone who waits. The one pass over all of them there is: it
    /// costs well under a millisecond for 5,000, and happens at most once a tick.
    pub(super) fn begin(&mut self, spell: Spell, waiting: impl Iterator<Item = (Slot, Patience)>) {
        self.spell = spell;
        self.order = waiting
            .filter_map(|(slot, patience)| Some((self.of(patience)?, patience.id, slot)))
            .collect();
    }

    /// What waiting too long is called now.
    pub(super) fn outcome(&self) -> Outcome {
        match self.spell.regime {
            Regime::Serving => Outcome::EvictedTtl,
            Regime::Empty => Outcome::EvictedNoEndpoints,
        }
    }
}
