//! The gateways' counts of requests, summed over workers, gateways and restarts, and shown in the
//! EPP's metric families: one series a pool.
//!
//! Every worker's counts are cumulative and named by its epoch, so what is new of an epoch is added
//! to the sum and nothing is ever taken from it: a worker that dies leaves its last counts, and a
//! gateway that starts again begins new epochs.

mod sums;

mod gauges;

mod exposition;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tracing::warn;
use wire::{
    reply::{Reply, WorkerState},
    report::Report,
};

use crate::pool::PoolView;
use exposition::Page;
use gauges::QueueGauges;
use sums::Sums;

/// Age above which a gateway's report says nothing of now: ten missed.
const REPORT_AGE_MAX: Duration = Duration::from_secs(5);

/// Gateways of one pool that are remembered: the scraper has at most 256 at a time, and each start
/// of one is another.
const GATEWAYS_MAX: usize = 1024;

/// Counts and gauges of all pools.
#[derive(Debug, Default)]
pub(crate) struct Tallies(Mutex<BTreeMap<Arc<str>, PoolTallies>>);

/// Counts and gauges of one pool.
#[derive(Debug, Default)]
struct PoolTallies {
    sums: Sums,
    queues: QueueGauges,
    /// Last reply of each gateway, by its id.
    gateways: BTreeMap<u64, GatewayGauges>,
    /// True once the log said that there is no room for more workers.
    is_full: bool,
}

/// State of one gateway at its last reply.
#[derive(Debug)]
struct GatewayGauges {
    at: Instant,
    report: Report,
    workers: Vec<WorkerState>,
}

impl Tallies {
    /// Takes in a gateway's reply on a pool. The reply was verified.
    pub(crate) fn take(&self, pool: &Arc<str>, gateway: u64, reply: &Reply, now: Instant) {
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pools.entry(Arc::clone(pool)).or_default().take(pool, gateway, reply, now);
    }

    /// Writes the families of these pools.
    pub(crate) fn write(&self, pools: &[PoolView], now: Instant) -> String {
        let mut tallies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut page = Page::default();
        for view in pools {
            let tallied = tallies.entry(Arc::clone(&view.pool)).or_default();
            tallied.sums.write(&mut page, &view.pool);
            tallied.write_gauges(&mut page, &view.pool, now);
            if let Some(readings) = view.readings.borrow().as_ref() {
                gauges::write_pods(&mut page, &view.pool, readings, now);
            }
        }
        page.into_text()
    }
}

impl PoolTallies {
    fn take(&mut self, pool: &str, gateway: u64, reply: &Reply, now: Instant) {
        let has_room = self.sums.take(&reply.counts, now);
        if !has_room && !std::mem::replace(&mut self.is_full, true) {
            warn!(
                "failed to count the requests of some workers of pool {pool}: there are too many"
            );
        }
        let fresh = |it: &GatewayGauges| now.saturating_duration_since(it.at) <= REPORT_AGE_MAX;
        self.gateways.retain(|_, it| fresh(it));
        if self.gateways.len() < GATEWAYS_MAX || self.gateways.contains_key(&gateway) {
            let (report, workers) = (reply.report.clone(), reply.counts.workers.clone());
            self.gateways.insert(gateway, GatewayGauges { at: now, report, workers });
        }
        let queues = self.gateways.values().flat_map(|it| &it.report.queues);
        self.queues.see(queues);
    }

    fn write_gauges(&mut self, page: &mut Page, pool: &str, now: Instant) {
        self.gateways.retain(|_, it| now.saturating_duration_since(it.at) <= REPORT_AGE_MAX);
        self.queues.see(self.gateways.values().flat_map(|it| &it.report.queues));
        self.queues.write(page, pool);
        let alive = self.gateways.values().flat_map(|it| &it.workers).filter(|it| it.is_alive);
        let alive: Vec<WorkerState> = alive.copied().collect();
        gauges::write_workers(page, pool, &alive);
        self.sums.write_running(page, pool, &alive);
        gauges::write_in_flight(page, pool, self.gateways.values().map(|it| &it.report));
    }
}
