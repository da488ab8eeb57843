//! Whether the scraper does its work, in words.

use std::{fmt::Write as _, sync::Arc, time::Instant};

use engine::{Endpoint, Health};
use tokio::sync::watch;

use crate::{
    board::{self, View},
    envoy::Standing,
    meters::Meters,
    settings::EnvoyUrl,
};

/// Views on all that the scraper's pages tell of.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) pools: Vec<View>,
    pub(crate) envoys: Vec<(EnvoyUrl, watch::Receiver<Standing>)>,
    pub(crate) meters: Arc<Meters>,
}

impl Status {
    /// What is still missing before Envoys can rely on this scraper, or nothing.
    pub(crate) fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        missing.extend(self.pools.iter().filter_map(missing_of));
        if self.envoys.iter().all(|(_, standing)| standing.borrow().taken.is_none()) {
            let why = self.envoys.iter().map(|(url, standing)| match &standing.borrow().down {
                Some(down) => format!("{url}: {down}"),
                None => format!("{url}: not answered yet"),
            });
            let why: Vec<_> = why.collect();
            missing.push(format!("no Envoy has taken a snapshot ({})", why.join("; ")));
        }
        missing
    }

    /// One line for each endpoint and each Envoy.
    pub(crate) fn overview(&self, now: Instant) -> String {
        let mut page = String::new();
        for View { pool, board } in &self.pools {
            match board.borrow().as_ref() {
                Some(board) => overview(&mut page, pool, &board::endpoints(&board.members, now)),
                None => drop(writeln!(page, "pool {pool}: not looked up yet")),
            }
        }
        for (url, standing) in &self.envoys {
            let standing = standing.borrow();
            let state = match (&standing.down, standing.taken) {
                (Some(why), _) => format!("down: {why}"),
                (None, Some(at)) => format!("took a snapshot {} ms ago", (now - at).as_millis()),
                (None, None) => "not answered yet".to_owned(),
            };
            let _ = writeln!(page, "{url} {state}");
        }
        page
    }

    /// The page for Prometheus.
    pub(crate) fn metrics(&self, now: Instant) -> Result<String, std::fmt::Error> {
        let taken = self.envoys.iter().map(|(url, standing)| (url, standing.borrow().taken));
        self.meters.page(now, taken)
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
