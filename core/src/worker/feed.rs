//! The feed of a worker from the store: snapshots, and the other workers' events in their order.

use std::collections::VecDeque;

use super::seen::{RING_ENTRIES, RingEntry, Seen, StoredSnapshot, Wants, Written};
use crate::model::{Instant, PlacementEvent, Snapshot};

/// Positions by which the ring may be ahead of one that was announced and is not written. Beyond it
/// the position is given up: its writer is gone.
const GAP_MAX: u64 = 64;

/// The state of the store that a worker has read so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Feed {
    /// Count of snapshots in the ledger that was read last.
    snapshots: u64,
    /// First position of the event ring that was not taken in.
    events: u64,
    /// Positions of this worker's own entries beyond `events`, oldest first. Taken in a second time,
    /// behind another worker's event about the same prompt, they would undo that one. At most
    /// [`RING_ENTRIES`]: the ring holds no older ones.
    own: VecDeque<u64>,
    /// True if the stored snapshot does not decode, which is reported once and not with each request.
    is_unreadable: bool,
}

/// The news of one look at the store.
#[derive(Debug, Default)]
pub(super) struct Updates {
    /// The latest snapshot, with the time at which this gateway received it.
    pub(super) snapshot: Option<(Snapshot, Instant)>,
    /// The other workers' events by entries of the ring, oldest first.
    pub(super) events: Vec<Vec<PlacementEvent>>,
    /// The reason why the stored snapshot cannot be read, if that is news.
    pub(super) unreadable: Option<String>,
}

impl Feed {
    /// Returns the parts of the store that are new to this worker.
    pub(super) fn wants(&self) -> Wants {
        Wants::since(self.snapshots, self.events)
    }

    /// Takes in what was read. Returns the part of it that is news.
    pub(super) fn take(&mut self, seen: &mut Seen) -> Updates {
        let mut updates = Updates::default();
        if seen.ledger.events < self.events {
            // Counts never go back: the store was emptied, and begins anew.
            self.events = 0;
            self.own.clear();
        }
        if let Some(stored) = seen.snapshot.take() {
            self.take_snapshot(stored, &mut updates);
        }
        self.snapshots = seen.ledger.snapshots;
        // Older entries are overwritten by now, so that no look will find them.
        self.events = self.events.max(seen.ledger.events.saturating_sub(RING_ENTRIES));
        let announced = seen.ledger.events;
        for entry in std::mem::take(&mut seen.events) {
            if entry.position != self.events {
                // Read for another state of this feed; the next look finds the rest.
                continue;
            }
            if !self.take_entry(entry, announced, &mut updates) {
                // The next look begins with this entry again.
                break;
            }
            self.events += 1;
        }
        updates
    }

    fn take_snapshot(&mut self, stored: StoredSnapshot, updates: &mut Updates) {
        match stored {
            StoredSnapshot::Readable { snapshot, received_at } => {
                self.is_unreadable = false;
                updates.snapshot = Some((snapshot, received_at));
            }
            StoredSnapshot::Unreadable(reason) => {
                let was = std::mem::replace(&mut self.is_unreadable, true);
                updates.unreadable = (!was).then_some(reason);
            }
        }
    }

    /// Takes in an entry; false if the feed has to stop before it.
    fn take_entry(&mut self, entry: RingEntry, announced: u64, updates: &mut Updates) -> bool {
        let RingEntry { position, written } = entry;
        if self.passes_own(position) {
            return true;
        }
        match written {
            Some(Written { position: at, events }) if at == position => {
                updates.events.push(events);
                true
            }
            // Overwritten by a newer entry: this worker was slow, and misses the older one.
            Some(Written { position: at, .. }) if at > position => true,
            // Announced and not written yet: its writer is about to write it, or died before. Later
            // entries wait for it, so that all workers learn in one order; but not for ever.
            Some(_) | None => announced - position >= GAP_MAX,
        }
    }

    /// True if the entry at this position is this worker's own.
    fn passes_own(&mut self, position: u64) -> bool {
        while self.own.front().is_some_and(|own| *own < position) {
            self.own.pop_front();
        }
        self.own.pop_front_if(|own| *own == position).is_some()
    }

    /// Skips the entry at this position from now on: it is this worker's own, and its events are taken in.
    pub(super) fn published(&mut self, position: u64) {
        if position == self.events {
            // The next one to read: nothing of another worker stands before it.
            self.events += 1;
            return;
        }
        self.own.push_back(position);
        while self.own.front().is_some_and(|own| own + RING_ENTRIES < position) {
            self.own.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        ledger::Ledger,
        model::{Chain, EventKind},
    };

    /// A ring in which each event is told apart by its time.
    #[derive(Default)]
    struct Ring {
        announced: u64,
        places: BTreeMap<u64, Written>,
    }

    impl Ring {
        fn announce(&mut self) -> u64 {
            self.announced += 1;
            self.announced - 1
        }

        fn write(&mut self, position: u64) {
            let event = PlacementEvent {
                at: Instant::from_nanos(position),
                endpoint: ([10, 0, 0, 1], 8000).into(),
                chain: Chain::default(),
                verdict: EventKind::Placed,
            };
            let written = Written { position, events: vec![event] };
            self.places.insert(position % RING_ENTRIES, written);
        }

        /// Other workers publish so many entries.
        fn fill(&mut self, count: u64) {
            for _ in 0..count {
                let position = self.announce();
                self.write(position);
            }
        }

        /// The positions of the events that a feed takes in.
        fn read(&self, feed: &mut Feed) -> Vec<u64> {
            let ledger = Ledger { events: self.announced, ..Ledger::default() };
            let entry = |position| RingEntry {
                position,
                written: self.places.get(&(position % RING_ENTRIES)).cloned(),
            };
            let events = feed.wants().events(&ledger).map(entry).collect();
            let mut seen = Seen { ledger, events, ..Seen::default() };
            feed.take(&mut seen).events.iter().flatten().map(|event| event.at.as_nanos()).collect()
        }
    }

    /// A feed that announces an entry of its own, and publishes it.
    fn publish(ring: &mut Ring, feed: &mut Feed) -> u64 {
        let position = ring.announce();
        ring.write(position);
        feed.published(position);
        position
    }

    #[test]
    fn each_event_is_taken_in_once_and_in_order() {
        let mut ring = Ring::default();
        let mut feed = Feed::default();
        ring.fill(3);
        assert_eq!(ring.read(&mut feed), [0, 1, 2]);
        assert_eq!(ring.read(&mut feed), []);
        ring.fill(1);
        assert_eq!(ring.read(&mut feed), [3]);
    }

    #[test]
    fn own_entries_are_passed_over() {
        let mut ring = Ring::default();
        let mut feed = Feed::default();
        publish(&mut ring, &mut feed);
        ring.fill(1);
        let own = publish(&mut ring, &mut feed);
        ring.fill(1);
        assert_eq!((own, ring.read(&mut feed)), (2, vec![1, 3]));
        assert!(feed.own.is_empty());
    }

    #[test]
    fn nothing_is_taken_in_before_what_is_not_written_yet() {
        let mut ring = Ring::default();
        let mut feed = Feed::default();
        ring.fill(1);
        let late = ring.announce();
        ring.fill(1);
        let own = publish(&mut ring, &mut feed);
        assert_eq!(ring.read(&mut feed), [0]);
        ring.fill(1);
        assert_eq!(ring.read(&mut feed), []);
        ring.write(late);
        assert_eq!(ring.read(&mut feed), [1, 2, 4], "but its own, {own}");
    }

    #[test]
    fn an_entry_whose_writer_died_is_given_up() {
        let mut ring = Ring::default();
        let mut feed = Feed::default();
        let never = ring.announce();
        ring.fill(GAP_MAX - 2);
        assert_eq!(ring.read(&mut feed), []);
        ring.fill(1);
        let read = ring.read(&mut feed);
        assert_eq!(
            (read.first().copied(), u64::try_from(read.len()).unwrap()),
            (Some(1), GAP_MAX - 1)
        );
        ring.write(never);
        assert_eq!(ring.read(&mut feed), [], "too late");
    }

    #[test]
    fn a_slow_worker_misses_what_the_ring_holds_no_more() {
        let mut ring = Ring::default();
        let mut feed = Feed::default();
        let own = publish(&mut ring, &mut feed);
        ring.fill(1);
        let early = publish(&mut ring, &mut feed);
        ring.fill(RING_ENTRIES);
        let read = ring.read(&mut feed);
        assert_eq!((own, early), (0, 2));
        assert_eq!(read, (3..3 + RING_ENTRIES).collect::<Vec<_>>());
        assert!(feed.own.is_empty());
    }

    #[test]
    fn an_entry_that_was_overtaken_while_it_was_read_is_lost() {
        let mut ring = Ring::default();
        let mut feed = Feed::default();
        ring.fill(2);
        // Written between the reading of the ledger and that of the ring.
        ring.write(RING_ENTRIES);
        assert_eq!(ring.read(&mut feed), [1]);
    }

    #[test]
    fn an_emptied_store_is_read_from_its_beginning() {
        let mut ring = Ring::default();
        let mut feed = Feed::default();
        ring.fill(5);
        assert_eq!(ring.read(&mut feed).len(), 5);
        ring.announce();
        publish(&mut ring, &mut feed);
        let mut ring = Ring::default();
        ring.fill(2);
        assert_eq!(ring.read(&mut feed), [0, 1]);
        ring.fill(6);
        assert_eq!(ring.read(&mut feed), [2, 3, 4, 5, 6, 7], "none of them is its own any more");
    }

    #[test]
    fn a_snapshot_is_taken_once_and_a_bad_one_reported_once() {
        let mut feed = Feed::default();
        let mut look = |snapshots: u64, stored: Option<StoredSnapshot>| {
            let ledger = Ledger { snapshots, ..Ledger::default() };
            let snapshot = stored.filter(|_| feed.wants().snapshot(&ledger));
            let updates = feed.take(&mut Seen { ledger, snapshot, ..Seen::default() });
            (updates.snapshot.is_some(), updates.unreadable)
        };
        let good = || {
            let received_at = Instant::default();
            Some(StoredSnapshot::Readable { snapshot: Snapshot::default(), received_at })
        };
        let bad = || Some(StoredSnapshot::Unreadable("why".to_owned()));
        assert_eq!(look(1, good()), (true, None));
        assert_eq!(look(1, good()), (false, None));
        assert_eq!(look(2, bad()), (false, Some("why".to_owned())));
        assert_eq!(look(3, bad()), (false, None));
        assert_eq!(look(4, good()), (true, None));
        assert_eq!(look(5, bad()), (false, Some("why".to_owned())));
    }
}
