//! The cost of a request without a body: nothing is parsed or hashed, so what is left is the
//! filter's calls, the pick and the ledger.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use stack::{Balancing, Stack};
use tokio::task::spawn_blocking;

use super::config;
use crate::{
    Setting, cpu,
    load::{Kind, Load, Pace},
    report::{Report, Table},
    summary::Rounds,
    upstream,
};

/// Measures, and adds to the report.
pub(super) async fn run(setting: &Setting, report: &mut Report) -> Result<Value> {
    let pods = upstream::start(3)?;
    let (rounds, seconds) = if setting.quick { (1, 1) } else { (5, 3) };
    let stack = || Stack::builder(setting.programs.clone()).upstreams(pods.clone()).workers(2);
    let plain = stack().without_filter(Balancing::RoundRobin).start().await?;
    let gate = config::gate(1000, "round-robin-fairness-policy");
    let picker = stack().plugin(gate).start().await?;
    let mut found = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (stack, found) in [&plain, &picker].into_iter().zip(&mut found) {
            found.push(cpu_per_request(stack, Duration::from_secs(seconds)).await?);
        }
    }
    let [plain, picker] = &found;
    let added = Rounds::new(picker.iter().zip(plain).map(|(picker, plain)| picker - plain));
    let of = |found: &[f64]| format!("{:.0}", Rounds::new(found.iter().copied()));
    let mut table = Table::new(&["GET without a body, c=16, 2 workers", "Envoy's CPU, µs/req"]);
    table.row(&["plain Envoy".to_owned(), of(plain)]);
    table.row(&["picker, gate open".to_owned(), of(picker)]);
    table.row(&[
        "added: headers, pick and ledger (an upper bound of the ledger's cost)".to_owned(),
        format!("{added:.0}"),
    ]);
    report.show(table);
    Ok(json!({"plain_us": plain, "picker_us": picker}))
}

async fn cpu_per_request(stack: &Stack, duration: Duration) -> Result<f64> {
    let target = stack.gateway;
    let kind = Kind::Bare;
    let load = Load { target, kind, clients: 16, pace: Pace::Closed, duration };
    let (envoy, _) = stack.pids();
    let before = cpu::time(envoy)?;
    let outcome = spawn_blocking(move || load.run()).await??;
    let spent = cpu::time(envoy)?.saturating_sub(before);
    Ok(spent.as_secs_f64() * 1e6 / outcome.latencies.len() as f64)
}
