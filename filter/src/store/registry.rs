//! The registry of a pool's workers, in shared data.

use picker_core::ledger::{Heartbeat, WorkerId};

use super::{TRIES_MAX, key};
use crate::{fast_format::FastFormat, host};

/// Workers that a pool can have: more than any machine has cores. Beyond it a worker's counts are
/// not taken back when it dies.
const WORKERS_MAX: usize = 1024;

/// The workers of one pool, and the heartbeat of each.
#[derive(Debug)]
pub(crate) struct WorkerRegistry {
    pool: String,
    /// Key of this worker's own heartbeat. Kept, as it is used twice a request; empty for a reader that is
    /// no worker of the pool.
    own_key: String,
}

impl WorkerRegistry {
    /// Opens the registry of the pool of that name.
    pub(crate) fn for_pool(pool: &str) -> Self {
        Self { pool: pool.to_owned(), own_key: String::new() }
    }

    /// Opens the registry of that pool for one of its workers.
    pub(crate) fn for_worker(pool: &str, me: WorkerId) -> Self {
        let registry = Self::for_pool(pool);
        Self { own_key: registry.heartbeat_key(me), ..registry }
    }

    /// Creates the key, so that of several workers that register at once none is lost. From
    /// `on_configure`.
    pub(crate) fn create(&self) {
        host::create_shared(&self.registry_key());
    }

    /// Writes this worker's own encoded heartbeat.
    pub(crate) fn show(&self, heartbeat: &[u8]) {
        host::share(&self.own_key, heartbeat);
    }

    /// Counts the registered workers.
    pub(crate) fn size(&self) -> usize {
        wire::registry::decode(&host::shared(&self.registry_key()).value).len()
    }

    /// Puts a worker into the registry.
    pub(crate) fn register(&self, worker: WorkerId) {
        self.change(|workers| {
            if workers.len() < WORKERS_MAX && !workers.contains(&worker) {
                workers.push(worker);
            }
        });
    }

    /// Takes out the workers that are dead by their heartbeat. Of several workers that call this at once,
    /// only one gets a given dead worker.
    pub(crate) fn take(
        &self,
        is_dead: impl Fn(WorkerId, &Heartbeat) -> bool,
    ) -> Vec<(WorkerId, Heartbeat)> {
        let heartbeat =
            |worker| wire::heartbeat::decode(&host::shared(&self.heartbeat_key(worker)).value);
        let registered = wire::registry::decode(&host::shared(&self.registry_key()).value);
        let known = registered.into_iter().filter_map(|it| Some((it, heartbeat(it)?)));
        known.filter(|(worker, beat)| is_dead(*worker, beat) && self.take_out(*worker)).collect()
    }

    /// Takes a worker out; false if another worker did so first.
    fn take_out(&self, worker: WorkerId) -> bool {
        let mut is_taken = false;
        self.change(|workers| {
            is_taken = workers.contains(&worker);
            workers.retain(|other| *other != worker);
        });
        if is_taken {
            host::share(&self.heartbeat_key(worker), &[]);
        }
        is_taken
    }

    fn change(&self, mut change: impl FnMut(&mut Vec<WorkerId>)) {
        let key = self.registry_key();
        for _ in 0..TRIES_MAX {
            let stored = host::shared(&key);
            let mut workers = wire::registry::decode(&stored.value);
            change(&mut workers);
            if host::share_if_unchanged(&key, &wire::registry::encode(&workers), stored.cas) {
                return;
            }
        }
    }

    fn registry_key(&self) -> String {
        key(&self.pool, "workers")
    }

    fn heartbeat_key(&self, worker: WorkerId) -> String {
        let mut key = key(&self.pool, "row/");
        key.push_hexadecimal(worker.0);
        key
    }
}
