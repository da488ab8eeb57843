//! Completion events that wait to travel with the next placement.

use std::collections::VecDeque;

use crate::model::PlacementEvent;

/// Events of completed requests that travel with the next placements: a position of the event ring
/// for each would cost a change of the ledger.
#[derive(Clone, Debug, Default)]
pub(super) struct PendingEvents(VecDeque<PlacementEvent>);

impl PendingEvents {
    /// Events that wait at one time. Where more requests end than are placed, the oldest are dropped: at
    /// 100 bytes each, as they name a prompt by its last hash, these are 6 kB.
    const WAITING_MAX: usize = 64;

    /// Events that travel with one placement: in the long run as many requests end as are placed, and
    /// one more lets the queue catch up after a burst.
    const AT_ONCE_MAX: usize = 2;

    pub(super) fn push(&mut self, events: Vec<PlacementEvent>) {
        self.0.extend(events);
        self.0.drain(..self.0.len().saturating_sub(Self::WAITING_MAX));
    }

    /// Returns the events that travel with the next placement, oldest first.
    pub(super) fn due(&self) -> impl Iterator<Item = &PlacementEvent> {
        self.0.iter().take(Self::AT_ONCE_MAX)
    }

    /// Takes the events that travel with a placement, oldest first.
    pub(super) fn take(&mut self) -> impl Iterator<Item = PlacementEvent> {
        let due = self.0.len().min(Self::AT_ONCE_MAX);
        self.0.drain(..due)
    }
}
