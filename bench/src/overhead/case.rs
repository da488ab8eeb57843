//! The cases of a table, and the loads that press them.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::{
    Row,
    figures::{Figures, Pressed},
};
use crate::{
    body::Text,
    cpu,
    load::{Kind, Load, Pace},
};

/// Rate of the open loop, in requests a second.
pub(super) const PER_SECOND: u32 = 500;

/// Number of clients of the open loop: enough that one is free whenever a request is due.
const OPEN_CLIENTS: usize = 16;

/// Time before the first round, so that compiled code and open connections are measured.
const WARM_UP: Duration = Duration::from_secs(1);

/// A size of bodies, and how many clients press without pause.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) name: &'static str,
    pub(super) bytes: usize,
    pub(super) text: Text,
    pub(super) clients: usize,
}

/// Rounds, and the time of each loop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    pub(super) rounds: usize,
    /// Time of the open loop; `None` where it is not wanted.
    pub(super) open: Option<Duration>,
    pub(super) closed: Duration,
}

impl Effort {
    /// Returns as much as shows that it works.
    pub(super) const fn quick(self) -> Self {
        const SECOND: Duration = Duration::from_secs(1);
        let open = if self.open.is_some() { Some(SECOND) } else { None };
        Self { rounds: 1, open, closed: SECOND }
    }
}

/// A line of a table.
#[derive(Debug)]
pub(super) struct Case<'a> {
    pub(super) label: String,
    pub(super) row: &'a Row,
    pub(super) size: Size,
    /// Kind of its requests.
    pub(super) kind: Kind,
    /// Place of the case without the picker that it is compared with; its own, if it is that one.
    pub(super) plain: usize,
    /// Figures, round by round.
    pub(super) figures: Vec<Figures>,
}

impl<'a> Case<'a> {
    /// Returns a case without figures.
    pub(super) fn new(label: &str, row: &'a Row, size: Size, plain: usize) -> Self {
        let kind = Kind::Chat { bytes: size.bytes, text: size.text };
        Self { label: label.to_owned(), row, size, kind, plain, figures: Vec::new() }
    }

    /// Returns every figure.
    pub(super) fn raw(&self) -> Value {
        let rounds: Vec<Value> = self.figures.iter().map(Figures::raw).collect();
        json!({"row": self.label, "size": self.size.name, "clients": self.size.clients, "rounds": rounds})
    }
}

/// Presses the cases in turn, round by round.
pub(super) async fn measure(cases: &mut [Case<'_>], effort: Effort) -> Result<()> {
    for case in &*cases {
        let _ = press(case, Pace::Closed, WARM_UP).await?;
    }
    for _ in 0..effort.rounds {
        for case in &mut *cases {
            let open = match effort.open {
                Some(time) => Some(press(case, Pace::Open { per_second: PER_SECOND }, time).await?),
                None => None,
            };
            let closed = press(case, Pace::Closed, effort.closed).await?;
            case.figures.push(Figures::new(open, closed, effort.closed));
        }
    }
    Ok(())
}

/// Runs one load on one case.
async fn press(case: &Case<'_>, pace: Pace, duration: Duration) -> Result<Pressed> {
    let clients = if matches!(pace, Pace::Closed) { case.size.clients } else { OPEN_CLIENTS };
    let kind = case.kind;
    let load = Load { target: case.row.address(), kind, clients, pace, duration };
    let spent_so_far = || case.row.pid().map_or(Ok(Duration::ZERO), cpu::time);
    let before = spent_so_far()?;
    let outcome = spawn_blocking(move || load.run()).await??;
    let spent = spent_so_far()?.saturating_sub(before);
    ensure!(
        outcome.failed == 0 && !outcome.latencies.is_empty(),
        "{}: {} requests failed, {} succeeded: the figures would mean nothing",
        case.label,
        outcome.failed,
        outcome.latencies.len()
    );
    Ok(Pressed { outcome, cpu: spent })
}
