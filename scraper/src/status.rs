//! Whether the scraper does its work, in words.

use std::{fmt::Write as _, sync::Arc, time::Instant};

use engine::{Endpoint, Health};
use tokio::sync::watch;

use crate::{
    board::{self, Board},
    envoy::Standing,
    meters::Meters,
    settings::EnvoyUrl,
};

/// Views on all that the scraper's pages tell of.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) pool: String,
    pub(crate) board: watch::Receiver<Option<Board>>,
    pub(crate) envoys: Vec<(EnvoyUrl, watch::Receiver<Standing>)>,
    pub(crate) meters: Arc<Meters>,
}

impl Status {
    /// What is still missing before Envoys can rely on this scraper, or nothing.
    pub(crate) fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        match self.board.borrow().as_ref() {
            None => missing.push("the endpoints are not looked up yet".to_owned()),
            Some(board) => {
                let untried = board.iter().filter(|member| !member.row.borrow().tried).count();
                if untried > 0 {
                    missing.push(format!("{untried} of {} endpoints not tried yet", board.len()));
                }
            }
        }
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
        let board = self.board.borrow().clone().unwrap_or_default();
        let mut page = overview(&self.pool, &board::endpoints(&board, now));
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

fn overview(pool: &str, endpoints: &[Endpoint]) -> String {
    let mut page = format!("pool {pool}: {} endpoints\n", endpoints.len());
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
    page
}
