//! What the picker adds to an Envoy that is the same in all else, and what other routers take.
//!
//! All the servers stand beside each other all the time, so that each is measured under the same background, and take
//! turns round by round, so that a slow minute of the machine is slow for all.

mod figures;
mod peer;
mod rows;

use std::{fs, time::Duration};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

pub(crate) use self::rows::Row;

use self::figures::{Figures, Metric};
use crate::{
    Setting, cpu,
    load::{Kind, Load, Outcome, Pace},
    memory,
    report::{Report, Table},
    summary::Rounds,
    upstream,
};

/// The rate of the open loop.
const PER_SECOND: u32 = 500;

/// Clients of the open loop: enough that one is free whenever a request is due.
const OPEN_CLIENTS: usize = 16;

/// Servers behind each Envoy.
const PODS: usize = 3;

/// A size of bodies, and how many clients press without pause.
#[derive(Clone, Copy, Debug)]
struct Size {
    name: &'static str,
    bytes: usize,
    clients: usize,
}

const SIZES: [Size; 2] = [
    Size { name: "1 KB", bytes: 1 << 10, clients: 32 },
    Size { name: "220 KB", bytes: 220 << 10, clients: 20 },
];

/// How long and how often.
#[derive(Clone, Copy, Debug)]
struct Effort {
    rounds: usize,
    open: Duration,
    closed: Duration,
}

const FULL: Effort =
    Effort { rounds: 5, open: Duration::from_secs(3), closed: Duration::from_secs(3) };

const QUICK: Effort =
    Effort { rounds: 1, open: Duration::from_secs(1), closed: Duration::from_secs(1) };

/// Before the first round, so that what is measured is compiled code and open connections.
const WARM_UP: Duration = Duration::from_secs(1);

/// What the picker adds to an Envoy.
pub(crate) async fn run(setting: &Setting) -> Result<Report> {
    let rows = Row::ways(&setting.programs, &upstream::start(PODS)?).await?;
    compare(setting, Report::begin("overhead"), &rows).await
}

/// What other routers take, beside the picker.
pub(crate) async fn peers(setting: &Setting) -> Result<Report> {
    let rows = Row::peers(&setting.programs, &upstream::start(PODS)?, &setting.peers).await?;
    compare(setting, Report::begin("peers"), &rows).await
}

async fn compare(setting: &Setting, mut report: Report, rows: &[Row]) -> Result<Report> {
    let effort = if setting.quick { QUICK } else { FULL };
    let wasm = fs::metadata(setting.programs.wasm())?.len();
    report.say(format!(
        "{} rounds, rows in turn; medians (lowest–highest). Open loop: {PER_SECOND} req/s for {} s, latency from when a \
         request was due. Closed loop: {} s. CPU and memory: of the proxy's process, memory as it is after the last \
         round. Envoy with two workers; the upstream answers at once, the same for all; half of each prompt is new. \
         llm-picker.wasm: {} kB.",
        effort.rounds,
        effort.open.as_secs(),
        effort.closed.as_secs(),
        wasm / 1000
    ));
    let mut raw = Vec::new();
    for size in SIZES {
        let figures = measure(rows, size, effort).await?;
        report.show(table(rows, size, &figures)?);
        raw.push(json!({"size": size.name, "rows": raw_rows(rows, &figures)}));
    }
    report.raw(json!({"wasm_bytes": wasm, "sizes": raw}));
    Ok(report)
}

/// The figures of each row, round by round.
async fn measure(rows: &[Row], size: Size, effort: Effort) -> Result<Vec<Vec<Figures>>> {
    for row in rows {
        let _ = press(row, size, Pace::Closed, WARM_UP).await?;
    }
    let mut figures: Vec<Vec<Figures>> = rows.iter().map(|_| Vec::new()).collect();
    for _ in 0..effort.rounds {
        for (row, figures) in rows.iter().zip(&mut figures) {
            let open = Pace::Open { per_second: PER_SECOND };
            let open = press(row, size, open, effort.open).await?;
            let closed = press(row, size, Pace::Closed, effort.closed).await?;
            figures.push(Figures::of(open, closed, effort.closed));
        }
    }
    Ok(figures)
}

/// One load on one row, and the CPU time it cost the proxy.
async fn press(
    row: &Row,
    size: Size,
    pace: Pace,
    duration: Duration,
) -> Result<(Outcome, Duration)> {
    let clients = if matches!(pace, Pace::Closed) { size.clients } else { OPEN_CLIENTS };
    let kind = Kind::Chat { bytes: size.bytes };
    let load = Load { target: row.address(), kind, clients, pace, duration };
    let spent_so_far = || row.pid().map_or(Ok(Duration::ZERO), cpu::time);
    let before = spent_so_far()?;
    let outcome = spawn_blocking(move || load.run()).await??;
    let spent = spent_so_far()?.saturating_sub(before);
    ensure!(
        outcome.failed == 0 && !outcome.latencies.is_empty(),
        "{}: {} requests failed, {} succeeded: the figures would mean nothing",
        row.name,
        outcome.failed,
        outcome.latencies.len()
    );
    Ok((outcome, spent))
}

fn table(rows: &[Row], size: Size, figures: &[Vec<Figures>]) -> Result<Table> {
    let closed = format!("req/s, c={}", size.clients);
    let mut table = Table::new(&[
        size.name,
        "p50 at 500/s, µs",
        "added p50, µs",
        "p99 at 500/s, µs",
        "added p99, µs",
        "added CPU at 500/s, µs/req",
        &closed,
        "× plain",
        "p99, ms",
        "CPU, µs/req",
        "added CPU, µs/req",
        "memory, MB",
    ]);
    let Some(plain) = figures.first() else { return Ok(table) };
    for (row, figures) in rows.iter().zip(figures) {
        let all = |metric: Metric| Rounds::of(figures.iter().map(metric));
        let added = |metric: Metric| {
            let pairs = figures.iter().zip(plain);
            format!("{:.0}", Rounds::of(pairs.map(|(here, plain)| metric(here) - metric(plain))))
        };
        let pairs = figures.iter().zip(plain);
        let share = Rounds::of(pairs.map(|(here, plain)| here.per_second / plain.per_second));
        table.row(&[
            row.name.to_owned(),
            format!("{:.0}", all(|figures| figures.open_p50)),
            added(|figures| figures.open_p50),
            format!("{:.0}", all(|figures| figures.open_p99)),
            added(|figures| figures.open_p99),
            added(|figures| figures.open_cpu),
            format!("{:.0}", all(|figures| figures.per_second)),
            format!("{share:.2}"),
            format!("{:.1}", all(|figures| figures.closed_p99 / 1000.0)),
            format!("{:.0}", all(|figures| figures.closed_cpu)),
            added(|figures| figures.closed_cpu),
            row.pid()
                .map(memory::megabytes)
                .transpose()?
                .map_or_else(String::new, |it| it.to_string()),
        ]);
    }
    Ok(table)
}

fn raw_rows(rows: &[Row], figures: &[Vec<Figures>]) -> Vec<Value> {
    let row = |(row, rounds): (&Row, &Vec<Figures>)| {
        let rounds: Vec<Value> = rounds.iter().map(Figures::raw).collect();
        json!({"row": row.name, "rounds": rounds})
    };
    rows.iter().zip(figures).map(row).collect()
}
