//! The task that records once a second what the status page draws.

mod decisions;
mod prefixes;
mod windows;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use tokio::{sync::watch, time};
use wire::report::Report;

use super::{
    freshness::{READING_AGE_MAX, fresh_reports, fresh_timed},
    history::{Column, History, PodCells, PodMetrics, PoolCells},
    sample::{PageSample, PoolSample},
};
use crate::{
    clock::unix_ms,
    pool::{PodReadings, PoolView, ScrapedPod},
    push::{EnvoyStatus, PullState, WatchedGateway},
    tallies::Tallies,
};
use decisions::DecisionCounts;
use prefixes::PrefixHits;
use windows::Windows;

const PERIOD: Duration = Duration::from_secs(1);

/// The task that fills the history.
#[derive(Debug)]
pub(crate) struct Sampler {
    pub(crate) pools: Vec<PoolView>,
    pub(crate) gateways: watch::Receiver<Vec<WatchedGateway>>,
    pub(crate) pulls: PullState,
    pub(crate) tallies: Arc<Tallies>,
    pub(crate) history: Arc<Mutex<History>>,
}

/// Sights of the looks before.
#[derive(Debug, Default)]
struct Past {
    counts: DecisionCounts,
    prefixes: PrefixHits,
    windows: Windows,
}

impl Sampler {
    /// Samples until aborted.
    pub(crate) async fn run(self) {
        let mut ticks = time::interval(PERIOD);
        let mut past = Past::default();
        loop {
            ticks.tick().await;
            self.look(Instant::now(), &mut past);
        }
    }

    /// Looks at everything once, and adds what is seen to the history.
    fn look(&self, now: Instant, past: &mut Past) {
        let gateways = self.gateways.borrow().clone();
        let pushed = gateways.iter().map(|it| (it.url.to_string(), it.status.borrow().clone()));
        let fetching = self.pulls.gateways(now);
        let (names, envoys): (Vec<String>, Vec<EnvoyStatus>) = pushed.chain(fetching).unzip();
        let rates = past.counts.rates(now, names.iter().map(String::as_str).zip(&envoys));
        let at_ms = unix_ms(SystemTime::now());
        past.prefixes.begin();
        let mut column = Column {
            at_ms,
            placed: rates.map(|rates| rates.placed),
            refused: rates.map(|rates| rates.refused),
            pools: BTreeMap::new(),
        };
        let mut sample = PageSample { at: now, names, envoys, pools: BTreeMap::new() };
        for view in &self.pools {
            let Some(readings) = view.readings.borrow().clone() else { continue };
            let reports = fresh_reports(&sample.envoys, &view.pool, now);
            let metrics = |pod: &ScrapedPod| metrics(&view.pool, pod, now, &mut past.prefixes);
            let cells = cells(&readings, &reports, metrics);
            let totals = self.tallies.totals(&view.pool);
            let (served, seen) = past.windows.look(&view.pool, &totals, now);
            let saturation = self.tallies.saturation(&view.pool, now);
            column.pools.insert(Arc::clone(&view.pool), PoolCells { served, ..cells });
            sample.pools.insert(Arc::clone(&view.pool), PoolSample { saturation, ..seen });
        }
        self.record(column, sample);
    }

    fn record(&self, column: Column, sample: PageSample) {
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let number = history.next();
        for pool in sample.pools.keys() {
            let told = fresh_timed(&sample.envoys, pool, sample.at).flat_map(|timed| {
                let ago = sample.at.saturating_duration_since(timed.at);
                timed.report.details.decisions.iter().map(move |it| (ago, it))
            });
            let log = history.decisions.entry(Arc::clone(pool)).or_default();
            log.take(number, column.at_ms, told);
        }
        history.push(column);
        history.sample = Some(Arc::new(sample));
    }
}

fn cells(
    readings: &PodReadings,
    reports: &[&Report],
    mut metrics: impl FnMut(&ScrapedPod) -> Option<PodMetrics>,
) -> PoolCells {
    let mut in_flight = BTreeMap::<SocketAddr, u64>::new();
    for row in reports.iter().flat_map(|report| &report.in_flight) {
        *in_flight.entry(row.endpoint).or_default() += u64::from(row.requests);
    }
    // Without a report nothing is known, which is not the same as no requests.
    let known = !reports.is_empty();
    let pod = |scraped: &ScrapedPod| {
        let address = scraped.pod.address;
        let in_flight = known.then(|| in_flight.get(&address).copied().unwrap_or_default());
        (address, PodCells { metrics: metrics(scraped), in_flight })
    };
    PoolCells {
        held: known.then(|| reports.iter().map(|report| u64::from(report.waiting)).sum()),
        in_flight: known.then(|| in_flight.values().sum()),
        served: None,
        pods: readings.pods.iter().map(pod).collect(),
    }
}

fn metrics(
    pool: &Arc<str>,
    pod: &ScrapedPod,
    now: Instant,
    prefixes: &mut PrefixHits,
) -> Option<PodMetrics> {
    let state = pod.state.borrow();
    let timed = state.reading.as_ref().filter(|timed| {
        state.trouble.is_none() && now.saturating_duration_since(timed.at) < READING_AGE_MAX
    })?;
    let reading = &timed.reading;
    Some(PodMetrics {
        waiting: reading.waiting,
        running: reading.running,
        kv_usage: reading.kv_usage,
        prefix_hits: reading.prefixes.and_then(|it| prefixes.share(pool, pod.pod.address, it)),
    })
}

#[cfg(test)]
mod tests {
    use wire::report::{Decisions, InFlight};

    use super::*;
    use crate::push::TimedReport;

    fn envoy(at: Instant, picked: u64, in_flight: u32) -> EnvoyStatus {
        let report = Report {
            waiting: 2,
            decisions: Decisions { picked, failed_open: 0, refused: 1 },
            in_flight: vec![InFlight {
                endpoint: ([10, 0, 0, 1], 8000).into(),
                requests: in_flight,
                tokens: 0,
            }],
            ..Report::default()
        };
        let report = TimedReport { at, report };
        EnvoyStatus { reports: [("a".into(), report)].into(), ..EnvoyStatus::default() }
    }

    #[test]
    fn what_is_in_flight_is_summed_over_gateways_that_report() {
        let now = Instant::now();
        let old = now.checked_sub(Duration::from_secs(9)).unwrap();
        let envoys = [envoy(now, 0, 3), envoy(now, 0, 4), envoy(old, 0, 100)];
        let readings = PodReadings {
            pods: [].into(),
            objectives: Arc::default(),
            rewrites: [].into(),
            models: watch::channel([].into()).1,
        };
        let cells =
            |envoys: &[EnvoyStatus]| cells(&readings, &fresh_reports(envoys, "a", now), |_| None);
        let all = cells(&envoys);
        assert_eq!((all.held, all.in_flight), (Some(4), Some(7)));
        assert_eq!(cells(&envoys[2..]), PoolCells::default(), "no gateway reports");
    }
}
