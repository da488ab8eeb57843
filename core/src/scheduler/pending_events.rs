//! News that can wait until there is something to tell anyway.

use std::collections::VecDeque;

use crate::model::PlacementEvent;

/// Notes that go along with the next placements: a place on the board for each would cost a change
/// of the ledger.
#[derive(Debug, Default)]
pub(super) struct PendingEvents(VecDeque<PlacementEvent>);

impl PendingEvents {
    /// Where more end than are placed, the oldest stay untold: at 1.4 kB for the longest chain these
    /// are 90 kB.
    const MAX: usize = 64;

    /// As many ends as placements come in the long run, and one more to catch up after a burst.
    const AT_ONCE: usize = 2;

    pub(super) fn push(&mut self, notes: Vec<PlacementEvent>) {
        self.0.extend(notes);
        self.0.drain(..self.0.len().saturating_sub(Self::MAX));
    }

    /// Those whose turn it is, oldest first.
    pub(super) fn take(&mut self) -> impl Iterator<Item = PlacementEvent> {
        let due = self.0.len().min(Self::AT_ONCE);
        self.0.drain(..due)
    }
}
