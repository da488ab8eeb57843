//! The ledger in shared data.

use std::cell::Cell;

use picker_core::{ledger::Ledger, workers::SharedLedger};

use super::{Extent, TRIES_MAX, key};
use crate::host;

/// The ledger of one pool, where all workers change it.
#[derive(Debug)]
pub(crate) struct SharedLedgerCell {
    key: String,
    seen: Cell<Extent>,
}

impl SharedLedgerCell {
    /// The ledger of the pool of that name.
    pub(crate) fn of_pool(pool: &str) -> Self {
        Self { key: key(pool, "ledger"), seen: Cell::default() }
    }

    /// Sees to it that no first change is lost; from `on_configure`.
    pub(crate) fn create(&self) {
        host::create_shared(&self.key);
    }

    /// The ledger as it is now.
    pub(crate) fn read(&self) -> Ledger {
        self.see(&host::shared(&self.key))
    }

    /// Reads it for the sake of [`Self::seen`].
    pub(crate) fn look(&self) {
        self.read();
    }

    /// How far the board had come when this worker last read or wrote the ledger. Each time it is
    /// read costs some 10,000 instructions of Envoy's.
    pub(crate) fn seen(&self) -> Extent {
        self.seen.get()
    }

    fn see(&self, there: &host::Shared) -> Ledger {
        let ledger = wire::ledger::decode(&there.value);
        self.seen.set(Extent::from(&ledger));
        ledger
    }
}

impl SharedLedger for SharedLedgerCell {
    fn update(&self, change: &mut dyn FnMut(&mut Ledger)) {
        for _ in 0..TRIES_MAX {
            let there = host::shared(&self.key);
            let mut ledger = self.see(&there);
            change(&mut ledger);
            if host::share_if_unchanged(&self.key, &wire::ledger::encode(&ledger), &there) {
                // With what was announced by this change: the board never goes back.
                self.seen.set(Extent::from(&ledger));
                return;
            }
        }
        // What was decided holds for this worker; only the others do not count it.
        log::error!("gave up on {} after {TRIES_MAX} tries", self.key);
    }
}
