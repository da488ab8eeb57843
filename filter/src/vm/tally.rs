//! The counts of a VM until they are written: for the scraper by pool, for Envoy in all.

use std::collections::BTreeMap;

use picker_core::Instant;
use wire::{
    reply::Sessions,
    tally::{Labels, SetId, WorkerTally},
};

/// Pools of which scrapers are remembered: as many as a configuration may have. A scraper that asks for
/// more is told everything each time.
const POOLS_MAX: usize = 64;

/// The counts of one pool's requests in this VM.
pub(crate) struct PoolTally {
    /// Random number that names these counts, which begin with this VM.
    pub(crate) epoch: u64,
    pub(crate) counts: WorkerTally,
    /// The set of what is counted for the pool as a whole.
    pub(crate) whole: SetId,
    /// Time when the counts were last written.
    pub(crate) written_at: Option<Instant>,
}

/// Requests since the last look, for Envoy's own counters.
#[derive(Clone, Copy)]
pub(crate) struct Pending {
    /// Time of the last look.
    pub(crate) since: Instant,
    /// Requests that were given an endpoint.
    pub(crate) picked: u32,
    /// Requests that were let through without an endpoint.
    pub(crate) failed_open: u32,
    /// Requests that were answered with an error.
    pub(crate) refused: u32,
    /// Those of them that were answered 503.
    pub(crate) unavailable: u32,
    /// Messages to other workers that no worker can get any more.
    pub(crate) lost_messages: u32,
}

/// The memory of which counts each scraper has, by the pools' names.
pub(crate) struct PoolSessions(BTreeMap<String, Sessions>);

impl Pending {
    /// Makes a count of nothing since this time.
    pub(crate) const fn since(since: Instant) -> Self {
        Self { since, picked: 0, failed_open: 0, refused: 0, unavailable: 0, lost_messages: 0 }
    }
}

impl PoolTally {
    pub(crate) fn new(epoch: u64) -> Self {
        let mut counts = WorkerTally::default();
        let whole = counts.place(&Labels::Pool, true);
        Self { epoch, counts, whole, written_at: None }
    }
}

impl PoolSessions {
    pub(crate) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Finds the sessions of one pool, or makes them.
    pub(crate) fn of_pool(&mut self, pool: &str) -> &mut Sessions {
        if !self.0.contains_key(pool) && self.0.len() >= POOLS_MAX {
            self.0.pop_first();
        }
        self.0.entry(pool.to_owned()).or_default()
    }
}
