//! The gateways' counts of requests, summed over workers, gateways and restarts, and shown in the
//! EPP's metric families: one series a pool.
//!
//! Every worker's counts are cumulative and named by its epoch, so what is new of an epoch is added
//! to the sum and nothing is ever taken from it: a worker that dies leaves its last counts, and a
//! gateway that starts again begins new epochs.

mod totals;

mod sums;

mod gauges;

mod former;

mod exposition;

#[cfg(test)]
mod epp;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use picker_core::{
    TextMeasure,
    saturation::{StageSaturations, StaleEndpoints},
};
use tracing::warn;
use wire::{
    beliefs::Beliefs,
    reply::{Reply, WorkerState},
    report::Report,
};

use crate::pool::PoolView;
use exposition::Page;
use gauges::QueueGauges;
use sums::Sums;
pub(crate) use totals::{PoolTotals, ServedTotals};

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
    /// Bytes per token as the gateways last told: kept when they are gone, for those that come.
    texts: Vec<TextMeasure>,
    /// True while there is no room for more workers, which the log was told of.
    is_full: bool,
}

/// State of one gateway at its last reply.
#[derive(Debug)]
struct GatewayGauges {
    at: Instant,
    report: Report,
    workers: Vec<WorkerState>,
    beliefs: Beliefs,
    stages: StageSaturations,
}

impl Tallies {
    /// Takes in a gateway's reply on a pool. The reply was verified.
    pub(crate) fn take(&self, pool: &Arc<str>, gateway: u64, reply: &Reply, now: Instant) {
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pools.entry(Arc::clone(pool)).or_default().take(pool, gateway, reply, now);
    }

    /// Returns the endpoints of a pool that its gateways have no fresh metrics of, at the worst of them.
    pub(crate) fn stale(&self, pool: &str, now: Instant) -> StaleEndpoints {
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(pool) = pools.get_mut(pool) else { return StaleEndpoints::default() };
        pool.gateways.retain(|_, it| now.saturating_duration_since(it.at) <= REPORT_AGE_MAX);
        pool.beliefs().stale
    }

    /// Returns the bytes per token of a pool's prompts, as its gateways last told.
    pub(crate) fn texts(&self, pool: &str) -> Vec<TextMeasure> {
        let pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pools.get(pool).map(|pool| pool.texts.clone()).unwrap_or_default()
    }

    /// Returns the totals of a pool.
    pub(crate) fn totals(&self, pool: &str) -> PoolTotals {
        let pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pools.get(pool).map(|pool| pool.sums.totals()).unwrap_or_default()
    }

    /// Returns the pool's saturation by the worker that sees the most, if any knows it.
    pub(crate) fn saturation(&self, pool: &str, now: Instant) -> Option<f64> {
        let pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |it: &&GatewayGauges| now.saturating_duration_since(it.at) <= REPORT_AGE_MAX;
        let gateways = pools.get(pool)?.gateways.values().filter(fresh);
        let workers = gateways.flat_map(|it| &it.workers).filter(|it| it.is_alive);
        workers.filter_map(|it| it.saturation).reduce(f64::max)
    }

    /// Writes the families of these pools; if asked for, under the EPP's former names too.
    pub(crate) fn write(&self, pools: &[PoolView], now: Instant, has_former: bool) -> String {
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
        gauges::write_builds(&mut page);
        page.into_text(has_former)
    }
}

impl PoolTallies {
    fn take(&mut self, pool: &str, gateway: u64, reply: &Reply, now: Instant) {
        let has_room = self.sums.take(&reply.counts, now);
        let was_full = std::mem::replace(&mut self.is_full, !has_room);
        if !has_room && !was_full {
            warn!(
                "failed to count the requests of some workers of pool {pool}: there are too many"
            );
        }
        let fresh = |it: &GatewayGauges| now.saturating_duration_since(it.at) <= REPORT_AGE_MAX;
        self.gateways.retain(|_, it| fresh(it));
        if self.gateways.len() < GATEWAYS_MAX || self.gateways.contains_key(&gateway) {
            let (report, workers) = (reply.report.clone(), reply.counts.workers.clone());
            let beliefs = reply.beliefs.clone();
            let stages = reply.stages;
            self.gateways
                .insert(gateway, GatewayGauges { at: now, report, workers, beliefs, stages });
        }
        self.queues.see(self.gateways.values().map(|it| &it.report));
        let texts = self.beliefs().texts;
        if !texts.is_empty() {
            self.texts = texts;
        }
    }

    fn beliefs(&self) -> Beliefs {
        let all: Vec<&Beliefs> = self.gateways.values().map(|it| &it.beliefs).collect();
        Beliefs::merged(all.iter().copied())
    }

    fn write_gauges(&mut self, page: &mut Page, pool: &str, now: Instant) {
        self.gateways.retain(|_, it| now.saturating_duration_since(it.at) <= REPORT_AGE_MAX);
        self.queues.see(self.gateways.values().map(|it| &it.report));
        self.queues.write(page, pool);
        let alive = self.gateways.values().flat_map(|it| &it.workers).filter(|it| it.is_alive);
        let alive: Vec<WorkerState> = alive.copied().collect();
        let stages: Vec<StageSaturations> = self.gateways.values().map(|it| it.stages).collect();
        gauges::write_workers(page, pool, &alive, &stages);
        if !alive.is_empty() {
            gauges::write_stale(page, pool, self.beliefs().stale);
        }
        gauges::write_texts(page, pool, &self.texts);
        gauges::write_requests(page, pool, gauges::RUNNING, &self.sums.running(&alive));
        let waiting = self.sums.waiting(&alive);
        gauges::write_requests(page, pool, gauges::QUEUE_SIZE, &waiting);
        gauges::write_amounts(page, pool, gauges::QUEUE_BYTES, &waiting);
        let in_flight = self.sums.in_flight(&alive);
        gauges::write_requests(page, pool, gauges::IN_FLIGHT_REQUESTS, &in_flight);
        gauges::write_amounts(page, pool, gauges::IN_FLIGHT_TOKENS, &in_flight);
        let reports: Vec<&Report> = self.gateways.values().map(|it| &it.report).collect();
        gauges::write_bands(page, pool, &reports);
        gauges::write_versions(page, pool, &reports);
    }
}

#[cfg(test)]
mod tests {
    use wire::{
        reply::{Counts, Have},
        tally::{Labels, Measure, WorkerTally},
    };

    use super::*;
    use crate::pool::WaitingGateways;

    fn pool() -> PoolView {
        let readings = tokio::sync::watch::channel(None).1;
        PoolView { pool: "default".into(), readings, waiting: WaitingGateways::new() }
    }

    /// The reply of a gateway with these workers, each with what is new of it.
    fn reply(workers: &mut [(u64, WorkerTally)]) -> Reply {
        let mut counts = Counts { have: Have::default(), ..Counts::default() };
        for (number, (epoch, tally)) in (0..).zip(workers) {
            let (epoch, saturation) = (*epoch, None);
            counts.workers.push(WorkerState { epoch, is_alive: true, saturation, indexed: 0 });
            for (_, chunk) in tally.flush(usize::MAX) {
                assert!(counts.add_chunk(number, &chunk, 0));
            }
        }
        Reply { counts, ..Reply::default() }
    }

    fn count(tally: &mut WorkerTally, model: &str, tenant: &str, is_well: bool) {
        let labels = Labels::request(model, model, tenant, 0);
        let set = tally.place(&labels, is_well);
        tally.add(set, Measure::Requests, 1);
        tally.add(set, Measure::Duration, 30_000);
    }

    fn page(tallies: &Tallies) -> String {
        tallies.write(&[pool()], Instant::now(), false)
    }

    fn sum(page: &str, start: &str) -> u64 {
        let lines = page.lines().filter(|line| line.starts_with(start));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    #[test]
    fn counts_never_go_back_and_none_counts_twice() {
        let tallies = Tallies::default();
        let pool = Arc::from("default");
        let now = Instant::now();
        let mut workers = [(1, WorkerTally::default()), (2, WorkerTally::default())];
        count(&mut workers[0].1, "m", "t", true);
        count(&mut workers[1].1, "m", "t", true);
        let first = reply(&mut workers);
        tallies.take(&pool, 7, &first, now);
        tallies.take(&pool, 7, &first, now);
        let requests = "llm_d_epp_request_total{inference_pool=\"default\"";
        assert_eq!(sum(&page(&tallies), requests), 2, "{}", page(&tallies));
        // One worker dies and one goes on; then the gateway starts again.
        let [(_, mut second), _] = workers;
        count(&mut second, "m", "t", true);
        tallies.take(&pool, 7, &reply(&mut [(1, second)]), now);
        assert_eq!(sum(&page(&tallies), requests), 3);
        let mut again = WorkerTally::default();
        count(&mut again, "m", "t", true);
        tallies.take(&pool, 8, &reply(&mut [(3, again)]), now);
        let page = page(&tallies);
        insta::assert_snapshot!(page.lines().filter(|line| {
            line.starts_with("llm_d_epp_request_total") || line.contains("0.05\"") || line.contains("0.025\"") || line.contains("duration_seconds_sum")
        }).collect::<Vec<_>>().join("\n"), @r#"
        llm_d_epp_request_total{inference_pool="default",model_name="m",target_model_name="m",fairness_id="t",priority="0"} 4
        llm_d_epp_request_duration_seconds_bucket{inference_pool="default",model_name="m",target_model_name="m",fairness_id="t",priority="0",le="0.025"} 0
        llm_d_epp_request_duration_seconds_bucket{inference_pool="default",model_name="m",target_model_name="m",fairness_id="t",priority="0",le="0.05"} 4
        llm_d_epp_request_duration_seconds_sum{inference_pool="default",model_name="m",target_model_name="m",fairness_id="t",priority="0"} 0.12
        "#);
    }

    #[test]
    fn a_late_reply_has_nothing_new_and_sets_nothing_back() {
        let (tallies, pool, now) = (Tallies::default(), Arc::from("default"), Instant::now());
        let mut workers = [(1, WorkerTally::default())];
        let mut replies = Vec::new();
        for _ in 0..3 {
            count(&mut workers[0].1, "m", "t", true);
            replies.push(reply(&mut workers));
        }
        for at in [1, 0, 2] {
            tallies.take(&pool, 7, &replies[at], now);
        }
        let page = page(&tallies);
        assert_eq!(sum(&page, "llm_d_epp_request_total{inference_pool=\"default\""), 3, "{page}");
        let seconds = "llm_d_epp_request_duration_seconds_count{inference_pool=\"default\"";
        assert_eq!(sum(&page, seconds), 3, "{page}");
    }

    #[test]
    fn endpoints_that_are_gone_make_room_for_those_that_come() {
        let (tallies, pool, start) = (Tallies::default(), Arc::from("default"), Instant::now());
        let serve = |epoch: u64, networks: std::ops::Range<u8>, at: Duration| {
            let mut tally = WorkerTally::default();
            for endpoint in
                networks.flat_map(|network| (0..=255).map(move |it| [10, 0, network, it]))
            {
                let labels = Labels::Endpoint(Some((endpoint, 8000).into()));
                let set = tally.place(&labels, true);
                tally.add(set, Measure::EndpointRequests, 1);
            }
            tallies.take(&pool, epoch, &reply(&mut [(epoch, tally)]), start + at);
            tallies.totals("default").endpoints.len()
        };
        assert_eq!(serve(1, 0..16, Duration::ZERO), 4_096);
        assert_eq!(serve(2, 16..17, Duration::from_secs(3_000)), 4_096, "none is gone for long");
        let all = serve(3, 17..18, Duration::from_secs(4_000));
        assert_eq!(all, 256, "those of an hour ago are forgotten");
        assert_eq!(serve(4, 18..19, Duration::from_secs(4_001)), 512);
    }

    /// The cap is one for the whole, however many workers and gateways there are, and leaves room
    /// for what is served.
    #[test]
    fn made_up_names_take_no_place_from_real_ones() {
        let tallies = Tallies::default();
        let pool = Arc::from("default");
        for gateway in 0..2_u64 {
            for worker in 0..8_u64 {
                let mut tally = WorkerTally::default();
                for name in 0..2_500 {
                    count(&mut tally, &format!("made-up-{gateway}-{worker}-{name}"), "t", false);
                }
                for tenant in 0..2_000 {
                    count(&mut tally, "served", &format!("t{worker}-{tenant}"), true);
                }
                count(&mut tally, "served", "t", true);
                let mut workers = [(gateway * 8 + worker, tally)];
                tallies.take(&pool, gateway, &reply(&mut workers), Instant::now());
            }
        }
        let page = page(&tallies);
        let shown = |start: &str| page.lines().filter(|line| line.starts_with(start)).count();
        assert_eq!(sum(&page, "llm_d_epp_request_total{"), 16 * 4_501);
        assert!(
            shown("llm_d_epp_request_total{") <= 1_001,
            "{}",
            shown("llm_d_epp_request_total{")
        );
        let measured = shown("llm_d_epp_request_duration_seconds_count{");
        assert!(measured <= 201, "{measured} label sets with histograms");
        assert_eq!(sum(&page, "llm_d_epp_request_duration_seconds_count{"), 16 * 4_501);
        assert!(page.contains("model_name=\"served\""));
        assert!(page.len() < 10_000_000, "{} bytes", page.len());
    }
}
