//! The requests of a world, and the pool that serves them.

use crate::chance::Chance;

/// A pool and the requests that come to it.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Gateways at the beginning.
    pub(crate) gateways: usize,
    /// Workers of each.
    pub(crate) workers: usize,
    /// Pods, each of which takes so many requests.
    pub(crate) pods: usize,
    pub(crate) of_pod: u32,
    /// Requests of the pods together that wait there for a slot.
    pub(crate) queued: usize,
    /// Mean time of a request in a slot.
    pub(crate) service_ms: f64,
    /// Requests that come, as a multiple of what the pool serves.
    pub(crate) load: f64,
    /// Share of the requests that are of the high band.
    pub(crate) high: f64,
    /// Longest wait.
    pub(crate) ttl_ms: u64,
}

impl Load {
    /// Makes the load of the review's gate: 296 places, 5 s a request, 1.3 times what the pool serves.
    pub(crate) fn above_capacity(gateways: usize) -> Self {
        Self {
            gateways,
            workers: 1,
            pods: 8,
            of_pod: 37,
            queued: 40,
            service_ms: 5_000.0,
            load: 1.3,
            high: 0.2,
            ttl_ms: 8_000,
        }
    }

    /// Makes some load of a small or large pool, below or above what it serves.
    pub(crate) fn any(seed: u64) -> Self {
        let mut chance = Chance::new(seed ^ 0xabcd);
        Self {
            gateways: 1 + chance.below(6) as usize,
            workers: 1 + chance.below(2) as usize,
            pods: 1 + chance.below(4) as usize,
            of_pod: 2 + chance.below(12) as u32,
            queued: 0,
            service_ms: 200.0 + chance.exponential(600.0),
            load: 0.5 + 1.5 * chance.share(),
            high: 0.5 * chance.share(),
            ttl_ms: 2_000 + chance.below(4_000),
        }
    }

    pub(crate) fn limit(&self) -> usize {
        self.pods * self.of_pod as usize
    }

    /// Returns the number of requests that pods serve at once.
    pub(crate) fn slots(&self) -> usize {
        self.limit() - self.queued
    }

    /// Returns the mean time between two requests, over all gateways.
    pub(crate) fn every_ms(&self) -> f64 {
        self.service_ms / self.slots() as f64 / self.load
    }
}
