//! Writes down once a second what there is to show.

mod decisions;
mod prefixes;

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
use decisions::Counts;
use prefixes::Prefixes;

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
        let (mut counts, mut prefixes) = (Counts::default(), Prefixes::default());
        loop {
            ticks.tick().await;
            let column = self.column(Instant::now(), &mut counts, &mut prefixes);
            self.history.lock().unwrap_or_else(PoisonError::into_inner).push(column);
        }
    }

    fn column(&self, now: Instant, counts: &mut Counts, prefixes: &mut Prefixes) -> Column {
        let (urls, standings): (Vec<_>, Vec<_>) = self
            .envoys
            .borrow()
            .iter()
            .map(|(url, seen)| (url.clone(), seen.borrow().clone()))
            .unzip();
        let rates = counts.rates(now, urls.iter().zip(&standings));
        prefixes.begin();
        let pool = |view: &View| {
            let board = view.board.borrow().clone()?;
            let told = reports(&standings, &view.pool, now);
            let said = |member: &Member| said(&view.pool, member, now, prefixes);
            Some((Arc::clone(&view.pool), pool(&board, &told, said)))
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

fn pool(
    board: &Board,
    reports: &[&Report],
    mut said: impl FnMut(&Member) -> Option<Said>,
) -> PoolCells {
    let mut in_flight = BTreeMap::<SocketAddr, u64>::new();
    for row in reports.iter().flat_map(|report| &report.in_flight) {
        *in_flight.entry(row.endpoint).or_default() += u64::from(row.requests);
    }
    let told = !reports.is_empty();
    let pod = |member: &Member| {
        let address = member.pod.address;
        let in_flight = told.then(|| in_flight.get(&address).copied().unwrap_or_default());
        (address, PodCells { said: said(member), in_flight })
    };
    PoolCells {
        held: told.then(|| reports.iter().map(|report| u64::from(report.waiting)).sum()),
        in_flight: told.then(|| in_flight.values().sum()),
        pods: board.members.iter().map(pod).collect(),
    }
}

fn said(pool: &Arc<str>, member: &Member, now: Instant, prefixes: &mut Prefixes) -> Option<Said> {
    let row = member.row.borrow();
    let timed = row.reading.as_ref().filter(|timed| {
        row.down.is_none() && now.saturating_duration_since(timed.at) < crate::status::STALE
    })?;
    let reading = &timed.reading;
    Some(Said {
        waiting: reading.waiting,
        running: reading.running,
        kv_usage: reading.kv_usage,
        prefix_hits: reading.prefixes.and_then(|it| prefixes.share(pool, member.pod.address, it)),
    })
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
    fn what_is_in_flight_is_summed_over_gateways_that_tell() {
        let now = Instant::now();
        let old = now.checked_sub(Duration::from_secs(9)).unwrap();
        let standings = [standing(now, 0, 3), standing(now, 0, 4), standing(old, 0, 100)];
        let board = Board { members: [].into(), objectives: Arc::default(), rewrites: [].into() };
        let cells = |standings: &[Standing]| pool(&board, &reports(standings, "a", now), |_| None);
        let told = cells(&standings);
        assert_eq!((told.held, told.in_flight), (Some(4), Some(7)));
        assert_eq!(cells(&standings[2..]), PoolCells::default(), "nobody tells");
    }
}
