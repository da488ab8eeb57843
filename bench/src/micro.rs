//! The cost of small parts by themselves, beside what others have in their place: the prefix index,
//! and the ledger when all workers write it at once.

mod index;
mod ledger;

use std::path::Path;

use anyhow::Result;
use serde_json::json;

use crate::report::Report;

/// Measures and reports; `program` is the one of `bench/micro/`.
pub(crate) fn run(program: &Path, quick: bool) -> Result<Report> {
    let mut report = Report::begin("micro");
    let rounds = if quick { 1 } else { 5 };
    report.say(format!("{rounds} rounds, rows in turn; medians (lowest–highest)."));
    let index = index::measure(&mut report, program, rounds)?;
    let ledger = ledger::measure(&mut report, rounds)?;
    report.raw(json!({"index": index, "ledger": ledger}));
    Ok(report)
}
