//! What the workers have in common: the ledger, the newest snapshot, the ring of notes.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    time::Duration,
};

use picker_core::{
    Event, Instant, PlacementEvent, Scheduler, Snapshot, ledger::Ledger, workers::SharedLedger,
};

/// A note is written after its place was taken: another worker may look for it before it is there.
const WRITE: Duration = Duration::from_micros(20);

/// Notes that the ring holds.
const NOTES_KEPT: u64 = 1024;

/// What stands at one place, and from when on.
type Posted = (Instant, Vec<PlacementEvent>);

/// Envoy's shared data for one pool.
#[derive(Debug, Default)]
pub(super) struct SharedData {
    ledger: RefCell<Ledger>,
    snapshot: RefCell<Option<(Instant, Snapshot)>>,
    /// By position; none where a place was taken and nothing written.
    notes: RefCell<Vec<Option<Posted>>>,
}

impl SharedLedger for SharedData {
    fn update(&self, change: &mut dyn FnMut(&mut Ledger)) {
        change(&mut self.ledger.borrow_mut());
    }
}

impl SharedData {
    /// The scraper's push.
    pub(super) fn post_snapshot(&self, received_at: Instant, snapshot: Snapshot) {
        self.snapshot.replace(Some((received_at, snapshot)));
        self.update(&mut |ledger| ledger.snapshots += 1);
    }

    /// Tells the other workers, at a place that the ledger gave.
    pub(super) fn post_notes(&self, now: Instant, position: u64, told: Vec<PlacementEvent>) {
        let mut notes = self.notes.borrow_mut();
        let place = usize::try_from(position).unwrap_or(usize::MAX);
        if notes.len() <= place {
            notes.resize(place + 1, None);
        }
        if let Some(room) = notes.get_mut(place) {
            *room = Some((now + WRITE, told));
        }
    }

    fn notes(&self, now: Instant, position: u64) -> Option<Vec<PlacementEvent>> {
        let notes = self.notes.borrow();
        let (written, told) = notes.get(usize::try_from(position).ok()?)?.as_ref()?;
        (*written <= now).then(|| told.clone())
    }
}

/// How far one worker has read.
#[derive(Debug, Default)]
pub(super) struct Board {
    snapshots: u64,
    notes: Cell<u64>,
    own: VecDeque<u64>,
}

impl Board {
    /// Brings a worker's engine up to what all workers know.
    pub(super) fn catch_up(
        &mut self,
        now: Instant,
        ledger: &Ledger,
        shared: &SharedData,
        scheduler: &mut Scheduler,
    ) {
        if ledger.snapshots != self.snapshots
            && let Some((received_at, snapshot)) = shared.snapshot.borrow().clone()
        {
            let _ = scheduler.handle(Event::Snapshot { snapshot, received_at });
            self.snapshots = ledger.snapshots;
        }
        let mut next = self.notes.get().max(ledger.notes.saturating_sub(NOTES_KEPT));
        while next < ledger.notes {
            if self.own.front() == Some(&next) {
                self.own.pop_front();
            } else {
                let Some(notes) = shared.notes(now, next) else { break };
                for note in notes {
                    let _ = scheduler.handle(Event::Noted(note));
                }
            }
            next += 1;
        }
        self.notes.set(next);
    }

    /// This worker's own notes took a place.
    pub(super) fn post_notes(&mut self, position: u64) {
        self.own.push_back(position);
    }
}
