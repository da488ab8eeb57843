//! Writes down once a second what there is to show.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use tokio::{sync::watch, time};

use crate::{
    board::{Board, Member, View},
    codec::Report,
    envoy::Standing,
    gateways::Watched,
    history::{Column, History, PodCells, PoolCells, Said},
    publisher::unix_ms,
};

const PERIOD: Duration = Duration::from_secs(1);

/// A report that is older says nothing of now: five missed.
const REPORT_AGE_MAX: Duration = Duration::from_millis(2500);

/// What fills the history.
#[derive(Debug)]
pub(crate) struct Sampler {
    pub(crate) pools: Vec<View>,
    pub(crate) envoys: watch::Receiver<Vec<Watched>>,
    pub(crate) history: Arc<Mutex<History>>,
}

impl Sampler {
    /// Samples until aborted.
    pub(crate) async fn run(self) {
        let mut ticks = time::interval(PERIOD);
        let mut counts = Counts::default();
        loop {
            ticks.tick().await;
            let column = self.column(Instant::now(), &mut counts);
            self.history.lock().unwrap_or_else(PoisonError::into_inner).push(column);
        }
    }

    fn column(&self, now: Instant, counts: &mut Counts) -> Column {
        let standings: Vec<_> =
            self.envoys.borrow().iter().map(|(_, seen)| seen.borrow().clone()).collect();
        let rates = counts.rates(now, &standings);
        let pool = |view: &View| {
            let board = view.board.borrow().clone()?;
            Some((Arc::clone(&view.pool), pool(&board, &reports(&standings, &view.pool, now), now)))
        };
        Column {
            at_ms: unix_ms(SystemTime::now()),
            placed: rates.map(|(placed, _)| placed),
            refused: rates.map(|(_, refused)| refused),
            pools: self.pools.iter().filter_map(pool).collect(),
        }
    }
}

/// What the gateways tell of a pool now.
pub(crate) fn reports<'a>(standings: &'a [Standing], pool: &str, now: Instant) -> Vec<&'a Report> {
    let told = standings.iter().filter_map(|standing| standing.reports.get(pool));
    let fresh = |at: &Instant| now.saturating_duration_since(*at) <= REPORT_AGE_MAX;
    told.filter(|(at, _)| fresh(at)).map(|(_, report)| report).collect()
}

fn pool(board: &Board, reports: &[&Report], now: Instant) -> PoolCells {
    let mut in_flight = BTreeMap::<SocketAddr, u64>::new();
    for row in reports.iter().flat_map(|report| &report.in_flight) {
        *in_flight.entry(row.endpoint).or_default() += u64::from(row.requests);
    }
    let told = !reports.is_empty();
    let pod = |member: &Member| {
        let address = member.pod.address;
        let in_flight = told.then(|| in_flight.get(&address).copied().unwrap_or_default());
        (address, PodCells { said: said(member, now), in_flight })
    };
    PoolCells {
        held: told.then(|| reports.iter().map(|report| u64::from(report.waiting)).sum()),
        in_flight: told.then(|| in_flight.values().sum()),
        pods: board.members.iter().map(pod).collect(),
    }
}

fn said(member: &Member, now: Instant) -> Option<Said> {
    let row = member.row.borrow();
    let timed = row.reading.as_ref().filter(|timed| {
        row.down.is_none() && now.saturating_duration_since(timed.at) < crate::status::STALE
    })?;
    let reading = &timed.reading;
    Some(Said {
        waiting: reading.waiting,
        running: reading.running,
        kv_usage: reading.kv_usage,
        prefix_hits: None,
    })
}

/// What gateways had counted when they were last looked at.
#[derive(Debug, Default)]
struct Counts {
    /// By position in the list of gateways: placed, refused.
    last: Vec<Option<(u64, u64)>>,
    at: Option<Instant>,
}

impl Counts {
    /// Placed and refused per second since the last call, if any gateway told both times.
    fn rates(&mut self, now: Instant, standings: &[Standing]) -> Option<(f64, f64)> {
        // Each pool's report has the counts of the whole gateway.
        let newest = |standing: &Standing| {
            let (_, report) = standing.reports.values().max_by_key(|(at, _)| *at)?;
            let decisions = report.decisions;
            Some((decisions.picked + decisions.failed_open, decisions.refused))
        };
        let counts: Vec<_> = standings.iter().map(newest).collect();
        let elapsed = self.at.replace(now).map(|at| now.saturating_duration_since(at));
        let pairs = self.last.iter().zip(&counts);
        let both: Vec<_> = pairs.filter_map(|(before, now)| before.zip(*now)).collect();
        let rates = elapsed.filter(|it| !it.is_zero() && !both.is_empty()).map(|elapsed| {
            let (mut placed, mut refused) = (0, 0);
            for ((placed_before, refused_before), (placed_now, refused_now)) in both {
                placed += grown(placed_before, placed_now);
                refused += grown(refused_before, refused_now);
            }
            (per_second(placed, elapsed), per_second(refused, elapsed))
        });
        self.last = counts;
        rates
    }
}

/// How much a counter grew; one that fell began anew.
fn grown(before: u64, now: u64) -> u64 {
    now.checked_sub(before).unwrap_or(now)
}

#[allow(clippy::cast_precision_loss, reason = "for a chart")]
fn per_second(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::report::{Decisions, InFlight};

    fn standing(at: Instant, picked: u64, in_flight: u32) -> Standing {
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
        Standing { reports: [("a".into(), (at, report))].into(), ..Standing::default() }
    }

    #[test]
    fn rates_are_of_gateways_that_told_twice() {
        let start = Instant::now();
        let mut counts = Counts::default();
        let mut rates = |seconds, standings: &[Standing]| {
            counts.rates(start + Duration::from_secs(seconds), standings)
        };
        assert_eq!(rates(0, &[standing(start, 10, 0)]), None, "the first look");
        assert_eq!(rates(2, &[standing(start, 30, 0)]), Some((10.0, 0.0)));
        assert_eq!(rates(3, &[standing(start, 4, 0)]), Some((4.0, 0.0)), "it began anew");
        assert_eq!(rates(4, &[Standing::default()]), None, "it tells nothing");
    }

    #[test]
    fn what_is_in_flight_is_summed_over_gateways_that_tell() {
        let now = Instant::now();
        let old = now.checked_sub(Duration::from_secs(9)).unwrap();
        let standings = [standing(now, 0, 3), standing(now, 0, 4), standing(old, 0, 100)];
        let board = Board { members: [].into(), objectives: Arc::default(), rewrites: [].into() };
        let cells = |standings: &[Standing]| pool(&board, &reports(standings, "a", now), now);
        let told = cells(&standings);
        assert_eq!((told.held, told.in_flight), (Some(4), Some(7)));
        assert_eq!(cells(&standings[2..]), PoolCells::default(), "nobody tells");
    }
}
