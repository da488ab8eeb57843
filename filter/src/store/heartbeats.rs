//! The heartbeats of a pool's workers, in shared data.

use picker_core::ledger::{Heartbeat, WorkerId};
use wire::layout::key;

use crate::{fast_format::FastFormat, host};

/// The heartbeat of each worker of one pool.
#[derive(Debug)]
pub(crate) struct Heartbeats {
    pool: String,
    /// Key of this worker's own heartbeat. Kept, as it is used twice a request.
    own_key: String,
}

impl Heartbeats {
    /// Opens the heartbeats of the pool of that name for one of its workers.
    pub(crate) fn for_worker(pool: &str, me: WorkerId) -> Self {
        Self { pool: pool.to_owned(), own_key: heartbeat_key(pool, me) }
    }

    /// Writes this worker's own encoded heartbeat.
    pub(crate) fn show(&self, heartbeat: &[u8]) {
        host::share(&self.own_key, heartbeat);
    }

    /// Removes a dead worker's heartbeat, if it is of so many beats: a worker that was taken for dead may
    /// have shown another one.
    pub(crate) fn remove(&self, worker: WorkerId, beats: u64) {
        let key = heartbeat_key(&self.pool, worker);
        let stored = host::shared(&key);
        if wire::heartbeat::decode(&stored.value).is_some_and(|it| it.beats == beats) {
            let _ = host::share_if_unchanged(&key, &[], stored.cas);
        }
    }
}

/// Reads a worker's heartbeat; `None` where it has shown none.
pub(super) fn read(pool: &str, worker: WorkerId) -> Option<Heartbeat> {
    wire::heartbeat::decode(&host::shared(&heartbeat_key(pool, worker)).value)
}

pub(super) fn heartbeat_key(pool: &str, worker: WorkerId) -> String {
    let mut key = key(pool, "row/");
    key.push_hexadecimal(worker.0);
    key
}
