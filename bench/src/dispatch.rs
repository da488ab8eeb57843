//! The cost of holding and releasing requests, and the promises of the gate: speed, limit, shares.

mod config;
mod crowd;
mod drain;
mod fairness;
mod ledger;

use anyhow::Result;
use serde_json::json;

pub(crate) use self::config::gate;

use crate::{Setting, report::Report};

/// Measures, and returns the report.
pub(crate) async fn run(setting: &Setting) -> Result<Report> {
    let mut report = Report::begin("dispatch");
    let drained = drain::run(setting, &mut report).await?;
    let shares = fairness::run(setting, &mut report).await?;
    let ledger = ledger::run(setting, &mut report).await?;
    report.raw(json!({"drain": drained, "fairness": shares, "ledger": ledger}));
    Ok(report)
}
