//! The workers of a pool in shared data.

use picker_core::ledger::{Heartbeat, WorkerId};

use super::{TRIES_MAX, key};
use crate::{fast_format::FastFormat, host};

/// Workers that a pool can have: more than any machine has cores. Beyond it a worker's counts are
/// not taken back when it dies.
const WORKERS_MAX: usize = 1024;

/// Who works for one pool, and what each has counted.
#[derive(Debug)]
pub(crate) struct WorkerRegistry {
    pool: String,
}

impl WorkerRegistry {
    /// The roll of the pool of that name.
    pub(crate) fn of_pool(pool: &str) -> Self {
        Self { pool: pool.to_owned() }
    }

    /// Sees to it that of several workers that enlist at once none is lost; from `on_configure`.
    pub(crate) fn create(&self) {
        host::create_shared(&self.roll_key());
    }

    /// Says what a worker has counted.
    pub(crate) fn write_row(&self, worker: WorkerId, row: &Heartbeat) {
        host::share(&self.row_key(worker), &wire::heartbeat::encode(row));
    }

    /// How many workers are on it.
    pub(crate) fn size(&self) -> usize {
        wire::registry::decode(&host::shared(&self.roll_key()).value).len()
    }

    /// Puts a worker on the roll.
    pub(crate) fn enlist(&self, worker: WorkerId) {
        self.change(|workers| {
            if workers.len() < WORKERS_MAX && !workers.contains(&worker) {
                workers.push(worker);
            }
        });
    }

    /// The rows on the roll for which `is_dead` holds, taken off it. Of several workers that call
    /// this at once, one gets each.
    pub(crate) fn strike(
        &self,
        is_dead: impl Fn(WorkerId, &Heartbeat) -> bool,
    ) -> Vec<(WorkerId, Heartbeat)> {
        let row = |worker| wire::heartbeat::decode(&host::shared(&self.row_key(worker)).value);
        let on_roll = wire::registry::decode(&host::shared(&self.roll_key()).value);
        let rows = on_roll.into_iter().filter_map(|worker| Some((worker, row(worker)?)));
        rows.filter(|(worker, row)| is_dead(*worker, row) && self.strike_off(*worker)).collect()
    }

    /// True if this call took the worker off.
    fn strike_off(&self, worker: WorkerId) -> bool {
        let mut struck = false;
        self.change(|workers| {
            struck = workers.contains(&worker);
            workers.retain(|other| *other != worker);
        });
        if struck {
            host::share(&self.row_key(worker), &[]);
        }
        struck
    }

    fn change(&self, mut change: impl FnMut(&mut Vec<WorkerId>)) {
        for _ in 0..TRIES_MAX {
            let there = host::shared(&self.roll_key());
            let mut workers = wire::registry::decode(&there.value);
            change(&mut workers);
            let bytes = wire::registry::encode(&workers);
            if host::share_if_unchanged(&self.roll_key(), &bytes, &there) {
                return;
            }
        }
    }

    fn roll_key(&self) -> String {
        key(&self.pool, "workers")
    }

    fn row_key(&self, worker: WorkerId) -> String {
        let mut key = key(&self.pool, "row/");
        key.push_hexadecimal(worker.0);
        key
    }
}
