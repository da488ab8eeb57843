//! The counts of a VM until they are written: for the scraper by pool, for Envoy in all.

use std::collections::BTreeMap;

use picker_core::Instant;
use wire::{
    config::POOLS_MAX,
    reply::Sessions,
    tally::{Labels, SetId, WorkerTally},
};

use super::notes::DecisionNotes;

/// The counts of one pool's requests in this VM.
pub(crate) struct PoolTally {
    /// Random number that names these counts, which begin with this VM.
    pub(crate) epoch: u64,
    pub(crate) counts: WorkerTally,
    /// The set of what is counted for the pool as a whole.
    pub(crate) whole: SetId,
    /// Some of the last decisions.
    pub(crate) notes: DecisionNotes,
    /// Time when the counts were last written.
    pub(crate) written_at: Option<Instant>,
    /// Time when the log last said that requests wait for fresh metrics.
    pub(crate) stale_logged_at: Option<Instant>,
    /// Arrival of the last request that had its plugins timed.
    pub(crate) plugins_timed_at: Option<Instant>,
}

/// The memory of which counts each scraper has, by the pools' names: of as many pools as a configuration may have. A
/// scraper that asks for more is told everything each time.
pub(crate) struct PoolSessions(BTreeMap<String, Sessions>);

impl PoolTally {
    pub(crate) fn new(epoch: u64) -> Self {
        let mut counts = WorkerTally::default();
        let whole = counts.place(&Labels::Pool, true);
        let notes = DecisionNotes::default();
        Self {
            epoch,
            counts,
            whole,
            notes,
            written_at: None,
            stale_logged_at: None,
            plugins_timed_at: None,
        }
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
