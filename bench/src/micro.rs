//! What small parts cost by themselves: the ledger when all workers write it at once.

mod ledger;

use anyhow::Result;
use serde_json::json;

use crate::report::Report;

/// Measures and reports.
pub(crate) fn run(quick: bool) -> Result<Report> {
    let mut report = Report::begin("micro");
    let rounds = if quick { 1 } else { 5 };
    report.say(format!("{rounds} rounds, rows in turn; medians (lowest–highest)."));
    let ledger = ledger::measure(&mut report, rounds)?;
    report.raw(json!({"ledger": ledger}));
    Ok(report)
}
