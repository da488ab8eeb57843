//! A stream of placement events over messages that may be lost, late, or come twice.

use std::collections::VecDeque;

use crate::model::PlacementEvent;

/// Events that wait for their acknowledgement at most, and that one message carries. At 512 requests
/// a second these are the placements and ends of one second; what is dropped is learnt again by use.
/// At 600 bytes each they are 600 kB.
pub const EVENTS_MAX: usize = 1_024;

/// Events with their numbers in a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventBatch {
    /// Sequence number of the first event.
    pub first: u64,
    /// Events, oldest first, with consecutive numbers. At most [`EVENTS_MAX`].
    pub events: Vec<PlacementEvent>,
}

/// The sending end of a stream: keeps what was not acknowledged.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    /// Sequence number of the oldest event that is kept.
    first: u64,
    kept: VecDeque<PlacementEvent>,
    /// Number of events that were dropped without an acknowledgement.
    dropped: u64,
}

/// The receiving end of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inbox {
    /// Sequence number of the next event.
    next: u64,
}

impl Outbox {
    /// Makes a stream of which the next event has this number.
    #[must_use]
    pub fn starting_at(first: u64) -> Self {
        Self { first, ..Self::default() }
    }

    /// Returns the number of events that are kept.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Adds events. Drops the oldest where too many wait.
    pub fn push(&mut self, events: impl IntoIterator<Item = PlacementEvent>) {
        for event in events {
            if self.kept.len() == EVENTS_MAX {
                self.kept.pop_front();
                self.first = self.first.saturating_add(1);
                self.dropped = self.dropped.saturating_add(1);
            }
            self.kept.push_back(event);
        }
    }

    /// Returns all that was not acknowledged.
    #[must_use]
    pub fn batch(&self) -> EventBatch {
        EventBatch { first: self.first, events: self.kept.iter().cloned().collect() }
    }

    /// Forgets the events below this number: the other end has them.
    pub fn acknowledge(&mut self, next: u64) {
        while self.first < next && self.kept.pop_front().is_some() {
            self.first = self.first.saturating_add(1);
        }
    }

    /// Returns the number of events that were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl Inbox {
    /// Returns the number to acknowledge: that of the next event.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Takes in a batch. Returns the events that are new.
    pub fn take(&mut self, batch: EventBatch) -> Vec<PlacementEvent> {
        let EventBatch { first, mut events } = batch;
        events.truncate(EVENTS_MAX);
        let count = u64::try_from(events.len()).unwrap_or(u64::MAX);
        // No stream gets there: what claims to is damaged, and would end the stream.
        let Some(end) = first.checked_add(count) else { return Vec::new() };
        let known = self.next.saturating_sub(first);
        let known = usize::try_from(known).unwrap_or(usize::MAX).min(events.len());
        self.next = self.next.max(end);
        events.split_off(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Chain, EventKind, Instant};

    fn event(number: u64) -> PlacementEvent {
        PlacementEvent {
            at: Instant::from_nanos(number),
            endpoint: ([10, 0, 0, 1], 8000).into(),
            chain: Chain::default(),
            verdict: EventKind::Placed,
        }
    }

    fn taken(inbox: &mut Inbox, batch: EventBatch) -> Vec<u64> {
        inbox.take(batch).iter().map(|event| event.at.as_nanos()).collect()
    }

    #[test]
    fn a_lost_message_repeats_and_a_duplicate_is_not_learnt() {
        let (mut outbox, mut inbox) = (Outbox::default(), Inbox::default());
        outbox.push((0..3).map(event));
        let lost = outbox.batch();
        outbox.push([event(3)]);
        assert_eq!(taken(&mut inbox, outbox.batch()), [0, 1, 2, 3]);
        assert_eq!(taken(&mut inbox, lost), [0; 0], "late");
        assert_eq!(taken(&mut inbox, outbox.batch()), [0; 0], "not acknowledged yet");
        outbox.acknowledge(inbox.next());
        outbox.push([event(4)]);
        assert_eq!(outbox.batch().events.len(), 1);
        assert_eq!(taken(&mut inbox, outbox.batch()), [4]);
        outbox.acknowledge(2);
        assert_eq!(outbox.batch().first, 4, "an old acknowledgement changes nothing");
    }

    #[test]
    fn a_stream_that_nobody_acknowledges_is_bounded() {
        let (mut outbox, mut inbox) = (Outbox::default(), Inbox::default());
        outbox.push((0..EVENTS_MAX as u64 + 5).map(event));
        assert_eq!((outbox.dropped(), outbox.batch().events.len()), (5, EVENTS_MAX));
        assert_eq!(taken(&mut inbox, outbox.batch()).first(), Some(&5));
        outbox.acknowledge(u64::MAX);
        assert_eq!(outbox.batch(), EventBatch { first: 5 + EVENTS_MAX as u64, events: vec![] });
    }

    #[test]
    fn numbers_beyond_all_numbers_end_no_stream() {
        let mut inbox = Inbox::default();
        let batch = EventBatch { first: u64::MAX, events: vec![event(1), event(2)] };
        assert_eq!(taken(&mut inbox, batch), [0; 0]);
        assert_eq!(taken(&mut inbox, EventBatch { first: 0, events: vec![event(3)] }), [3]);
    }
}
