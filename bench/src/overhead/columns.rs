//! The columns of the tables.

use anyhow::Result;

use super::{
    case::Case,
    figures::{Metric, p999},
};
use crate::{memory, report::Table, summary::Rounds};

/// The loads that were run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loads {
    Both,
    Closed,
}

const OPEN: [&str; 6] = [
    "p50 at 500/s, µs",
    "added p50, µs",
    "p99 at 500/s, µs",
    "added p99, µs",
    "p99.9, µs",
    "added CPU at 500/s, µs/req",
];

const CLOSED: [&str; 6] =
    ["× plain", "p50, ms", "p99, ms", "CPU, µs/req", "added CPU, µs/req", "memory, MB"];

/// Makes the table, a line a case.
pub(super) fn table(title: &str, cases: &[Case<'_>], loads: Loads) -> Result<Table> {
    let same = cases.first().map(|case| case.size.clients);
    let same = same.filter(|clients| cases.iter().all(|case| case.size.clients == *clients));
    let closed = same.map_or_else(|| "req/s".to_owned(), |clients| format!("req/s, c={clients}"));
    let mut columns = vec![title];
    if loads == Loads::Both {
        columns.extend(OPEN);
    }
    columns.push(&closed);
    columns.extend(CLOSED);
    let mut table = Table::new(&columns);
    for case in cases {
        let plain = cases.get(case.plain).unwrap_or(case);
        let mut cells = vec![case.label.clone()];
        if loads == Loads::Both {
            cells.extend(open(case, plain));
        }
        cells.extend(pressed(case, plain));
        let memory = case.row.pid().map(memory::megabytes).transpose()?;
        cells.push(memory.map_or_else(String::new, |it| it.to_string()));
        table.row(&cells);
    }
    Ok(table)
}

fn open(case: &Case<'_>, plain: &Case<'_>) -> [String; 6] {
    [
        format!("{:.0}", all(case, |it| it.open.p50)),
        added(case, plain, |it| it.open.p50),
        format!("{:.0}", all(case, |it| it.open.p99)),
        added(case, plain, |it| it.open.p99),
        format!("{:.0}", p999(case.figures.iter().map(|it| &it.open))),
        added(case, plain, |it| it.open.cpu),
    ]
}

fn pressed(case: &Case<'_>, plain: &Case<'_>) -> [String; 6] {
    let pairs = case.figures.iter().zip(&plain.figures);
    let share = Rounds::new(pairs.map(|(here, plain)| here.per_second / plain.per_second));
    [
        format!("{:.0}", all(case, |it| it.per_second)),
        format!("{share:.2}"),
        format!("{:.1}", all(case, |it| it.closed.p50 / 1000.0)),
        format!("{:.1}", all(case, |it| it.closed.p99 / 1000.0)),
        format!("{:.0}", all(case, |it| it.closed.cpu)),
        added(case, plain, |it| it.closed.cpu),
    ]
}

fn all(case: &Case<'_>, metric: Metric) -> Rounds {
    Rounds::new(case.figures.iter().map(metric))
}

/// Returns how much more it is than the plain one's of the same round.
fn added(case: &Case<'_>, plain: &Case<'_>, metric: Metric) -> String {
    let pairs = case.figures.iter().zip(&plain.figures);
    format!("{:.0}", Rounds::new(pairs.map(|(here, plain)| metric(here) - metric(plain))))
}
