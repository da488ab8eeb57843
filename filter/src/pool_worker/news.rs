//! What a worker takes in of what the scraper and the other workers say.

use picker_core::{Event, flow::Priority};

use super::PoolWorker;
use crate::{
    host,
    shared_store::{Extent, Updates},
};

impl PoolWorker {
    /// Reads what is new between two decisions.
    pub(super) fn look_around(&self) {
        self.ledger.look();
        self.catch_up(self.ledger.seen());
        if self.snapshot_is_new.replace(false) && self.priorities() != *self.provisioned.borrow() {
            self.provision();
        }
    }

    /// Tells the member which priorities are to have bands.
    pub(super) fn provision(&self) {
        let priorities = self.priorities();
        self.member.borrow_mut().provision(host::now(), &priorities);
        self.provisioned.replace(priorities);
    }

    /// Of all objectives; the configured come first, in case that there can't be a band for each.
    fn priorities(&self) -> Vec<Priority> {
        let mut priorities = self.configured.borrow().clone();
        priorities.extend(self.scheduler.borrow().priorities());
        priorities
    }

    /// Brings the engine up to what all workers know.
    pub(super) fn catch_up(&self, extent: Extent) {
        let Updates { snapshot, notes } = self.board.borrow_mut().read(extent);
        let mut scheduler = self.scheduler.borrow_mut();
        if let Some(posted) = snapshot {
            match wire::snapshot::decode(&posted.body) {
                Ok(mut snapshot) => {
                    self.snapshot_is_bad.set(false);
                    self.snapshot_is_new.set(true);
                    self.knows_snapshot.set(true);
                    let rewrites = std::mem::take(&mut snapshot.model_rewrites);
                    let models = std::mem::take(&mut snapshot.models);
                    self.models.borrow_mut().renew(rewrites, models);
                    let received_at = posted.received_at;
                    let _ = scheduler.handle(Event::Snapshot { snapshot, received_at });
                }
                // The ingest instance decoded it before it stored it, so this is another version's.
                Err(error) if !self.snapshot_is_bad.replace(true) => {
                    log::error!("cannot read the snapshot in shared data: {error}");
                }
                Err(_) => (),
            }
        }
        for note in notes {
            let _ = scheduler.handle(Event::Noted(note));
        }
    }
}
