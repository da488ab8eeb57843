//! The state of the scraper's work, in words and as the status page draws it.

mod problems;
mod standing;

mod json;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use picker_core::{Endpoint, Health, saturation::StaleEndpoints};
use serde_json::Value;
use tokio::sync::watch;

use super::{
    bands::{BandState, bands},
    freshness::{READING_AGE_MAX, fresh_reports},
    history::{History, PodCells, PoolCells},
    sample::PageSample,
};
use crate::{
    exchange::Exchanges,
    meters::Meters,
    pool::{self, PoolView, ScrapedPod, Trouble},
    push::{EnvoyStatus, PullState, WatchedGateway},
    tallies::Tallies,
};
use problems::{GatewayFacts, PodFacts, PodState, PoolFacts, Problem};
use standing::{Standing, in_step};

/// Time after which a gateway that fetches is stuck: it asks again within a second.
const FETCH_MAX: Duration = Duration::from_secs(10);

/// Time without a look of the publisher after which the scraper is stuck: many of the longest intervals.
const LOOK_MAX: Duration = Duration::from_secs(30);

/// Views on everything that the scraper's pages show.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) pools: Vec<PoolView>,
    /// Gateways that are pushed to.
    pub(crate) gateways: watch::Receiver<Vec<WatchedGateway>>,
    /// Gateways that fetch.
    pub(crate) pulls: PullState,
    pub(crate) meters: Arc<Meters>,
    pub(crate) tallies: Arc<Tallies>,
    pub(crate) exchanges: Arc<Exchanges>,
    pub(crate) history: Arc<Mutex<History>>,
    pub(crate) started: Instant,
    /// Name of this run of the scraper: in the next one, columns are numbered anew.
    pub(crate) epoch: String,
    /// Time between two scrapes, and between two pushes.
    pub(crate) interval: Duration,
}

impl Status {
    /// Returns what is still missing before Envoys can rely on this scraper, or nothing.
    pub(super) fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        missing.extend(self.pools.iter().filter_map(missing_in));
        let gateways = self.gateways.borrow();
        let untaken = gateways.iter().all(|gateway| gateway.status.borrow().taken.is_none());
        // Where gateways fetch, none has to be reached first.
        if untaken && !gateways.is_empty() {
            let why = gateways.iter().map(|gateway| match &gateway.status.borrow().down {
                Some(down) => format!("{}: {down}", gateway.url),
                None => format!("{}: not answered yet", gateway.url),
            });
            let why: Vec<_> = why.collect();
            missing.push(format!("no Envoy has taken a snapshot ({})", why.join("; ")));
        }
        missing
    }

    /// Returns the time for which no snapshots are made, if that is so long that the scraper is to be started again.
    pub(super) fn stuck_for(&self, now: Instant) -> Option<Duration> {
        let silence = self.meters.since_look(now);
        (silence > LOOK_MAX.max(self.interval * 10)).then_some(silence)
    }

    /// Returns the problems, then one line for each endpoint and each Envoy.
    pub(super) fn overview(&self, now: Instant) -> String {
        let mut page = String::new();
        let sample = self.sample();
        for problem in self.problems(now, sample.as_deref()) {
            let _ = writeln!(page, "{:?}: {}", problem.level, problem.text);
        }
        let newest = self.newest();
        for PoolView { pool, readings, .. } in &self.pools {
            match readings.borrow().as_ref() {
                Some(readings) => {
                    write_pool(&mut page, pool, &pool::endpoints(&readings.pods, now));
                    if let Some(cells) = newest.get(pool) {
                        write_load(&mut page, cells);
                    }
                }
                None => drop(writeln!(page, "pool {pool}: not looked up yet")),
            }
        }
        for gateway in self.gateway_facts(now) {
            let state = match (&gateway.down, gateway.taken) {
                (Some(why), _) => format!("down: {why}"),
                (None, Some(age)) => format!("took a snapshot {} ms ago", age.as_millis()),
                (None, None) => "not answered yet".to_owned(),
            };
            let _ = writeln!(page, "{} {state}", gateway.name);
        }
        if let Some(step) = self.step(now) {
            let _ = writeln!(page, "{step}");
        }
        page
    }

    /// Returns the number of the first column of the history that a browser lacks, which has those before number
    /// `after` of the run named `epoch`.
    pub(super) fn first_column(&self, after: u64, epoch: &str) -> u64 {
        if epoch == self.epoch { after } else { 0 }
    }

    /// Returns the number that the history's next column will have.
    pub(super) fn next_column(&self) -> u64 {
        self.history.lock().unwrap_or_else(PoisonError::into_inner).next()
    }

    /// Returns the data of the status page, with the history's columns from this number on.
    pub(super) fn page(&self, now: Instant, first: u64) -> Value {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        json::page(self, now, &history, first)
    }

    /// Returns the page for Prometheus; if asked for, with the EPP's former names too.
    pub(super) fn metrics(
        &self,
        now: Instant,
        has_former: bool,
    ) -> Result<String, std::fmt::Error> {
        let gateways = self.gateways.borrow();
        let taken = gateways.iter().map(|it| (&it.url, it.status.borrow().taken));
        self.meters.exchanged(&self.exchanges.rows(now));
        self.meters.page(now, taken, &self.tallies.write(&self.pools, now, has_former))
    }

    /// Returns how many gateways know of each other, in words; `None` where there is one alone.
    fn step(&self, now: Instant) -> Option<String> {
        in_step(&self.gateway_facts(now).iter().map(|it| it.standing).collect::<Vec<_>>())
    }

    /// Returns the newest column of the history.
    fn newest(&self) -> BTreeMap<Arc<str>, PoolCells> {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let mut columns = history.since(history.next().saturating_sub(1));
        columns.next().map(|column| column.pools.clone()).unwrap_or_default()
    }

    /// Returns what the sampler saw last.
    fn sample(&self) -> Option<Arc<PageSample>> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner).sample.clone()
    }

    /// Returns all problems: of pods and gateways as they are now, of what waits by the last sample.
    fn problems(&self, now: Instant, sample: Option<&PageSample>) -> Vec<Problem> {
        let pool = |view| {
            let PoolView { pool, readings, .. }: &PoolView = view;
            let pods = readings
                .borrow()
                .as_ref()
                .map(|readings| readings.pods.iter().map(|pod| pod_facts(pod, now)).collect());
            let stale = self.tallies.stale(pool, now);
            let stale = Some(stale).filter(StaleEndpoints::shut_the_gate);
            let bands = sample.map(|sample| bands_of(view, sample)).unwrap_or_default();
            PoolFacts { name: pool, pods, stale, bands }
        };
        let pools: Vec<_> = self.pools.iter().map(pool).collect();
        problems::problems(&pools, &self.gateway_facts(now))
    }

    /// Returns the gateways that are pushed to, then those that fetch.
    fn gateway_facts(&self, now: Instant) -> Vec<GatewayFacts> {
        let gateways = self.gateways.borrow();
        let fetching = self.pulls.gateways(now);
        let rows = self.exchanges.rows(now);
        let is_elsewhere = self.exchanges.are_elsewhere();
        let is_alone = gateways.len() + fetching.len() < 2;
        let standing = |status: &EnvoyStatus| {
            if is_alone || status.reports.is_empty() {
                return Standing::Alone;
            }
            if !self.exchanges.is_possible() {
                return Standing::Apart { interval: Some(self.interval) };
            }
            if is_elsewhere {
                return Standing::Elsewhere;
            }
            let own = rows.iter().filter(|row| Some(row.status.gateway) == status.member);
            let age = own.map(|row| row.status.age).max();
            age.map_or(Standing::Apart { interval: None }, Standing::by_age)
        };
        let pushed = gateways.iter().map(|gateway| {
            let status = gateway.status.borrow();
            let taken = status.taken.map(|at| now.saturating_duration_since(at));
            let (name, down) = (gateway.url.to_string(), status.down.clone());
            GatewayFacts { name, taken, down, standing: standing(&status) }
        });
        let fetching = fetching.into_iter().map(|(name, status)| {
            let age = status.taken.map(|at| now.saturating_duration_since(at));
            let is_stuck = age.is_none_or(|age| age > FETCH_MAX);
            let down = is_stuck.then(|| "it does not fetch any more".to_owned());
            GatewayFacts { name, taken: age, down, standing: standing(&status) }
        });
        pushed.chain(fetching).collect()
    }
}

fn bands_of(view: &PoolView, sample: &PageSample) -> Vec<BandState> {
    let Some(seen) = sample.pools.get(&view.pool) else { return Vec::new() };
    let reports = fresh_reports(&sample.envoys, &view.pool, sample.at);
    let readings = view.readings.borrow();
    bands(&reports, &seen.window, readings.as_ref().map(|it| &*it.objectives))
}

fn missing_in(view: &PoolView) -> Option<String> {
    let pool = &view.pool;
    let Some(readings) = view.readings.borrow().clone() else {
        return Some(format!("the endpoints of pool {pool} are not known yet"));
    };
    let untried = readings.pods.iter().filter(|pod| !pod.state.borrow().tried).count();
    let all = readings.pods.len();
    (untried > 0).then(|| format!("{untried} of pool {pool}'s {all} endpoints not tried yet"))
}

fn pod_facts(scraped: &ScrapedPod, now: Instant) -> PodFacts {
    let state = scraped.state.borrow();
    let age = state.reading.as_ref().map(|timed| now.saturating_duration_since(timed.at));
    let state = match (&state.trouble, age) {
        (Some(Trouble::Down(why)), _) => PodState::Down(why.clone()),
        (Some(Trouble::Unread(why)), _) => PodState::Unread(Some(why.clone())),
        (None, None) => PodState::Unread(None),
        (None, Some(age)) if age >= READING_AGE_MAX => PodState::Stale(age),
        (None, Some(_)) => PodState::Up,
    };
    PodFacts { address: scraped.pod.address.to_string(), state }
}

fn write_pool(page: &mut String, pool: &str, endpoints: &[Endpoint]) {
    let _ = writeln!(page, "pool {pool}: {} endpoints", endpoints.len());
    for endpoint in endpoints {
        let health = match endpoint.health {
            Health::Up => "up",
            Health::Down => "down",
        };
        let _ = write!(page, "{} {health}", endpoint.address);
        let _ = match &endpoint.metrics {
            None => writeln!(page, " never read"),
            Some(it) => writeln!(
                page,
                " waiting {} running {} kv {:.2} read {} ms ago",
                it.waiting,
                it.running,
                it.kv_usage,
                it.age.as_millis()
            ),
        };
    }
}

/// Writes what gateways have in flight and hold, the share of prompts that pods had cached, and how long first
/// tokens take, as far as it is known.
fn write_load(page: &mut String, cells: &PoolCells) {
    let PoolCells { held, in_flight, served, pods } = cells;
    let mut facts = Vec::new();
    facts.extend(in_flight.map(|in_flight| format!("in flight {in_flight}")));
    facts.extend(held.map(|held| format!("held {held}")));
    let share = |pod: &PodCells| pod.metrics.and_then(|it| it.prefix_hits);
    let hits: Vec<f32> = pods.values().filter_map(share).collect();
    let pods = hits.iter().fold(0.0_f32, |pods, _| pods + 1.0);
    if pods > 0.0 {
        facts.push(format!("prefix hits {:.2}", hits.iter().sum::<f32>() / pods));
    }
    if let Some(ttft) = served.and_then(|it| it.ttft) {
        facts.push(format!("first token p50 {:.0} ms p95 {:.0} ms", ttft.p50, ttft.p95));
    }
    if !facts.is_empty() {
        let _ = writeln!(page, "{}", facts.join(" "));
    }
}
