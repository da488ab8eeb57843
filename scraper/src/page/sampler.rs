//! The task that records once a second what the status page draws.

mod decisions;
mod prefixes;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use tokio::{sync::watch, time};
use wire::report::Report;

use super::{
    freshness::{READING_AGE_MAX, fresh_reports},
    history::{Column, History, PodCells, PodMetrics, PoolCells},
};
use crate::{
    clock::unix_ms,
    pool::{PodReadings, PoolView, ScrapedPod},
    push::{EnvoyStatus, PullState, WatchedGateway},
};
use decisions::DecisionCounts;
use prefixes::PrefixHits;

const PERIOD: Duration = Duration::from_secs(1);

/// The task that fills the history.
#[derive(Debug)]
pub(crate) struct Sampler {
    pub(crate) pools: Vec<PoolView>,
    pub(crate) gateways: watch::Receiver<Vec<WatchedGateway>>,
    pub(crate) pulls: PullState,
    pub(crate) history: Arc<Mutex<History>>,
}

impl Sampler {
    /// Samples until aborted.
    pub(crate) async fn run(self) {
        let mut ticks = time::interval(PERIOD);
        let mut counts = DecisionCounts::default();
        let mut prefixes = PrefixHits::default();
        loop {
            ticks.tick().await;
            let column = self.column(Instant::now(), &mut counts, &mut prefixes);
            self.history.lock().unwrap_or_else(PoisonError::into_inner).push(column);
        }
    }

    fn column(
        &self,
        now: Instant,
        counts: &mut DecisionCounts,
        prefixes: &mut PrefixHits,
    ) -> Column {
        let gateways = self.gateways.borrow().clone();
        let pushed = gateways.iter().map(|it| (it.url.to_string(), it.status.borrow().clone()));
        let fetching = self.pulls.gateways(now).into_iter();
        let fetching = fetching.map(|(address, status)| (address.to_string(), status));
        let (names, envoys): (Vec<String>, Vec<EnvoyStatus>) = pushed.chain(fetching).unzip();
        let rates = counts.rates(now, names.iter().map(String::as_str).zip(&envoys));
        prefixes.begin();
        let pool = |view: &PoolView| {
            let readings = view.readings.borrow().clone()?;
            let reports = fresh_reports(&envoys, &view.pool, now);
            let metrics = |pod: &ScrapedPod| metrics(&view.pool, pod, now, prefixes);
            Some((Arc::clone(&view.pool), cells(&readings, &reports, metrics)))
        };
        Column {
            at_ms: unix_ms(SystemTime::now()),
            placed: rates.map(|rates| rates.placed),
            refused: rates.map(|rates| rates.refused),
            pools: self.pools.iter().filter_map(pool).collect(),
        }
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
