//! The cost of the picker in an Envoy that is the same in all else, and the cost of other routers.
//!
//! All the servers of a table stand beside each other all the time, so that each is measured under
//! the same background, and take turns round by round, so that a slow minute of the machine is slow
//! for all.

mod case;
mod columns;
mod figures;
mod peer;
mod rows;
mod sweeps;

use std::{fs, time::Duration};

use anyhow::Result;
use serde_json::{Value, json};

pub(crate) use self::{rows::Row, sweeps::Sweep};

use self::{
    case::{Case, Effort, PER_SECOND, Size, measure},
    columns::{Loads, table},
};
use crate::{Setting, body::Text, report::Report, upstream};

/// Number of servers behind each Envoy.
const PODS: usize = 3;

const SMALL: Size = Size { name: "1 KB", bytes: 1 << 10, text: Text::Escaped, clients: 32 };

const LARGE: Size = Size { name: "220 KB", bytes: 220 << 10, text: Text::Escaped, clients: 20 };

const FULL: Effort =
    Effort { rounds: 5, open: Some(Duration::from_secs(3)), closed: Duration::from_secs(3) };

/// Measures the cost of the picker in an Envoy.
pub(crate) async fn run(setting: &Setting) -> Result<Report> {
    let rows = Row::usual(setting, &upstream::start(PODS)?).await?;
    compare(setting, Report::begin("overhead"), &rows).await
}

/// Measures the cost of other routers, beside the picker.
pub(crate) async fn peers(setting: &Setting) -> Result<Report> {
    let rows = Row::peers(&setting.programs, &upstream::start(PODS)?, &setting.peers).await?;
    compare(setting, Report::begin("peers"), &rows).await
}

/// Makes a table for each of the two sizes, against the first row.
async fn compare(setting: &Setting, report: Report, rows: &[Row]) -> Result<Report> {
    let mut paper = Paper::begin(setting, report, FULL, Loads::Both)?;
    for size in [SMALL, LARGE] {
        paper.table(size.name, beside(rows, size)).await?;
    }
    Ok(paper.end())
}

/// Returns a case for each row, compared with the first.
fn beside(rows: &[Row], size: Size) -> Vec<Case<'_>> {
    rows.iter().map(|row| Case::new(&row.name, row, size, 0)).collect()
}

/// A report that is being written.
struct Paper {
    report: Report,
    effort: Effort,
    loads: Loads,
    wasm: u64,
    raw: Vec<Value>,
}

impl Paper {
    /// Says how it is measured.
    fn begin(setting: &Setting, mut report: Report, full: Effort, loads: Loads) -> Result<Self> {
        let effort = if setting.quick { full.quick() } else { full };
        let wasm = fs::metadata(setting.programs.wasm())?.len();
        let open = effort.open.map_or_else(String::new, |time| {
            format!(
                " Open loop: {PER_SECOND} req/s for {} s, latency from when a request was due; p99.9 is of all rounds together.",
                time.as_secs_f64()
            )
        });
        report.say(format!(
            "{} rounds, rows in turn; medians (lowest–highest).{open} Closed loop: {} s. CPU and memory: of the proxy's \
             process, memory as it is after the last round. Envoy with two workers where nothing else is said; the upstream \
             answers at once, the same for all; half of each prompt is new. llm-picker.wasm: {} kB.",
            effort.rounds,
            effort.closed.as_secs_f64(),
            wasm / 1000
        ));
        Ok(Self { report, effort, loads, wasm, raw: Vec::new() })
    }

    /// Measures these cases in turn and adds their table.
    async fn table(&mut self, title: &str, mut cases: Vec<Case<'_>>) -> Result<()> {
        measure(&mut cases, self.effort).await?;
        self.report.show(table(title, &cases, self.loads)?);
        let rows: Vec<Value> = cases.iter().map(Case::raw).collect();
        self.raw.push(json!({"table": title, "rows": rows}));
        Ok(())
    }

    /// Returns the report.
    fn end(mut self) -> Report {
        self.report.raw(json!({"wasm_bytes": self.wasm, "tables": self.raw}));
        self.report
    }
}
