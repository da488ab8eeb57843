//! The cost of an idle Envoy.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use stack::{Balancing, Builder, Stack};
use tokio::{task::spawn_blocking, time::sleep};

use crate::{
    Setting,
    body::Text,
    cpu, dispatch,
    load::{Kind, Load, Pace},
    report::{Report, Table},
    summary::Rounds,
    upstream,
};

const WORKERS: usize = 4;

/// Number of pods behind each Envoy.
const PODS: usize = 3;

/// Measures and reports. Both Envoys stand beside each other and are idle at the same time, so that whatever else the machine
/// does falls on both.
pub(crate) async fn run(setting: &Setting) -> Result<Report> {
    let mut report = Report::begin("idle");
    let (rounds, round) =
        if setting.quick { (1, Duration::from_secs(3)) } else { (6, Duration::from_secs(10)) };
    let pods = upstream::start(PODS)?;
    let stack =
        || Stack::builder(setting.programs.clone()).upstreams(pods.clone()).workers(WORKERS);
    let gate = dispatch::gate(100, "round-robin-fairness-policy");
    let stacks = [
        started(stack().without_filter(Balancing::RoundRobin)).await?,
        started(stack().plugin(gate)).await?,
    ];
    let mut spent = Vec::new();
    for _ in 0..rounds {
        let before = times(&stacks)?;
        sleep(round).await;
        let after = times(&stacks)?;
        let percent = |(before, after): (&Duration, &Duration)| {
            100.0 * after.saturating_sub(*before).as_secs_f64() / round.as_secs_f64()
        };
        spent.push(before.iter().zip(&after).map(percent).collect::<Vec<f64>>());
    }
    report.say(format!(
        "{WORKERS} workers, each of which has served something, {PODS} pods without requests, {rounds} rounds of {} s; percent of one core. \
         Flow control is on. The scraper asks each pod ten times a second and pushes four times a second.",
        round.as_secs()
    ));
    let mut table = Table::new(&["process", "percent of a core"]);
    for (place, name) in PROCESSES.iter().enumerate() {
        let rounds = Rounds::new(spent.iter().filter_map(|round| round.get(place)).copied());
        table.row(&[(*name).to_owned(), format!("{rounds:.2}")]);
    }
    report.show(table);
    report.raw(json!({"processes": PROCESSES, "percent": Value::from(spent)}));
    Ok(report)
}

/// Processes, in the order of [`times`].
const PROCESSES: [&str; 3] = ["plain Envoy", "Envoy with the picker", "the picker's scraper"];

fn times([plain, picker]: &[Stack; 2]) -> Result<[Duration; 3]> {
    let (envoy, scraper) = picker.pids();
    let scraper = scraper.map_or(Ok(Duration::ZERO), cpu::time)?;
    Ok([cpu::time(plain.pids().0)?, cpu::time(envoy)?, scraper])
}

/// Returns a stack in which every worker has served something, and which has come to rest.
async fn started(builder: Builder) -> Result<Stack> {
    let stack = builder.start().await?;
    let load = Load {
        target: stack.gateway,
        kind: Kind::Chat { bytes: 1 << 10, text: Text::Escaped },
        clients: 8 * WORKERS,
        pace: Pace::Closed,
        duration: Duration::from_millis(500),
    };
    spawn_blocking(move || load.run()).await??;
    sleep(Duration::from_secs(1)).await;
    Ok(stack)
}
