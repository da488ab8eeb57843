//! Whether the scraper does its work, in words.

mod json;
mod problems;

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use picker_core::{Endpoint, Health};
use serde_json::Value;
use tokio::sync::watch;

use crate::{
    board::{self, Member, View},
    gateways::Watched,
    history::History,
    meters::Meters,
    pulls::Pulls,
};
use problems::{GatewayFacts, PodFacts, PodState, PoolFacts};

/// A reading that is older is not what the pod is like now (EPP: metrics staleness threshold).
pub(crate) const STALE: Duration = Duration::from_secs(2);

/// A gateway that fetches asks again within a second; one that has not for this long is stuck.
const FETCH_MAX: Duration = Duration::from_secs(10);

/// Views on all that the scraper's pages tell of.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) pools: Vec<View>,
    pub(crate) envoys: watch::Receiver<Vec<Watched>>,
    pub(crate) pulls: Pulls,
    pub(crate) meters: Arc<Meters>,
    pub(crate) history: Arc<Mutex<History>>,
    pub(crate) started: Instant,
    /// Tells one life of the scraper from the next, in which columns are counted anew.
    pub(crate) epoch: String,
    pub(crate) interval: Duration,
}

impl Status {
    /// What is still missing before Envoys can rely on this scraper, or nothing.
    pub(crate) fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        missing.extend(self.pools.iter().filter_map(missing_of));
        let envoys = self.envoys.borrow();
        let untaken = envoys.iter().all(|(_, standing)| standing.borrow().taken.is_none());
        // Where gateways fetch, nobody has to be reached first.
        if untaken && !envoys.is_empty() {
            let why = envoys.iter().map(|(url, standing)| match &standing.borrow().down {
                Some(down) => format!("{url}: {down}"),
                None => format!("{url}: not answered yet"),
            });
            let why: Vec<_> = why.collect();
            missing.push(format!("no Envoy has taken a snapshot ({})", why.join("; ")));
        }
        missing
    }

    /// What is wrong, then one line for each endpoint and each Envoy.
    pub(crate) fn overview(&self, now: Instant) -> String {
        let mut page = String::new();
        for problem in self.problems(now) {
            let _ = writeln!(page, "{:?}: {}", problem.level, problem.text);
        }
        for View { pool, board, .. } in &self.pools {
            match board.borrow().as_ref() {
                Some(board) => overview(&mut page, pool, &board::endpoints(&board.members, now)),
                None => drop(writeln!(page, "pool {pool}: not looked up yet")),
            }
        }
        for gateway in self.gateways(now) {
            let state = match (&gateway.down, gateway.taken) {
                (Some(why), _) => format!("down: {why}"),
                (None, Some(age)) => format!("took a snapshot {} ms ago", age.as_millis()),
                (None, None) => "not answered yet".to_owned(),
            };
            let _ = writeln!(page, "{} {state}", gateway.name);
        }
        page
    }

    /// What the status page draws, with the history's columns from `after` on if the page has those
    /// before it from this scraper.
    pub(crate) fn page(&self, now: Instant, after: u64, epoch: &str) -> Value {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        json::page(self, now, &history, (after, epoch))
    }

    /// The page for Prometheus.
    pub(crate) fn metrics(&self, now: Instant) -> Result<String, std::fmt::Error> {
        let envoys = self.envoys.borrow();
        let taken = envoys.iter().map(|(url, standing)| (url, standing.borrow().taken));
        self.meters.page(now, taken)
    }

    fn problems(&self, now: Instant) -> Vec<problems::Problem> {
        let pool = |view| {
            let View { pool, board, .. }: &View = view;
            let pods = board
                .borrow()
                .as_ref()
                .map(|board| board.members.iter().map(|member| pod_facts(member, now)).collect());
            PoolFacts { name: pool, pods }
        };
        let pools: Vec<_> = self.pools.iter().map(pool).collect();
        problems::problems(&pools, &self.gateways(now))
    }

    /// Those that are pushed to, then those that fetch.
    fn gateways(&self, now: Instant) -> Vec<GatewayFacts> {
        let envoys = self.envoys.borrow();
        let pushed = envoys.iter().map(|(url, standing)| {
            let standing = standing.borrow();
            let taken = standing.taken.map(|at| now.saturating_duration_since(at));
            GatewayFacts { name: url.to_string(), taken, down: standing.down.clone() }
        });
        let fetching = self.pulls.gateways(now).into_iter().map(|(address, at)| {
            let age = now.saturating_duration_since(at);
            let down = (age > FETCH_MAX).then(|| "it does not fetch any more".to_owned());
            GatewayFacts { name: address.to_string(), taken: Some(age), down }
        });
        pushed.chain(fetching).collect()
    }
}

fn missing_of(view: &View) -> Option<String> {
    let pool = &view.pool;
    let Some(board) = view.board.borrow().clone() else {
        return Some(format!("the endpoints of pool {pool} are not known yet"));
    };
    let untried = board.members.iter().filter(|member| !member.row.borrow().tried).count();
    let all = board.members.len();
    (untried > 0).then(|| format!("{untried} of pool {pool}'s {all} endpoints not tried yet"))
}

fn pod_facts(member: &Member, now: Instant) -> PodFacts {
    let row = member.row.borrow();
    let age = row.reading.as_ref().map(|timed| now.saturating_duration_since(timed.at));
    let state = match (&row.down, age) {
        (Some(why), _) => PodState::Down(why.clone()),
        (None, None) => PodState::Unread,
        (None, Some(age)) if age >= STALE => PodState::Stale(age),
        (None, Some(_)) => PodState::Up,
    };
    PodFacts { address: member.pod.address.to_string(), state }
}

fn overview(page: &mut String, pool: &str, endpoints: &[Endpoint]) {
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
