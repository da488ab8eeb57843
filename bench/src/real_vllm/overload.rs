//! More than the engines can do, from two priorities and two tenants: the requests served of each,
//! and the time that they took, with a gate and without.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use stack::{Balancing, Stack};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::{
    OUTPUT,
    traffic::{Client, Traffic},
};
use crate::{
    Setting, chat,
    report::Table,
    summary::{Rounds, quantile},
};

/// Time that each way of admitting is loaded in each round.
const LOAD: Duration = Duration::from_secs(30);

/// Time after the end for requests that began before it; those that are not answered by then have
/// failed.
const GRACE: Duration = Duration::from_secs(60);

const ROUNDS: usize = 3;

/// Number of requests that the gate lets a server have at once: a request that waits does so in the
/// gate and not in the engine.
const PLACES: u32 = 2;

/// A group of clients.
#[derive(Debug)]
struct Group {
    name: &'static str,
    objective: &'static str,
    tenant: &'static str,
    /// Number of clients for each server. A client asks again when it is answered.
    clients: usize,
}

const GROUPS: [Group; 3] = [
    Group { name: "priority 100", objective: "high", tenant: "desk", clients: 1 },
    Group { name: "priority 10, a loud tenant", objective: "low", tenant: "loud", clients: 5 },
    Group { name: "priority 10, a quiet tenant", objective: "low", tenant: "quiet", clients: 1 },
];

/// A way to admit requests.
#[derive(Clone, Copy, Debug)]
enum Admission {
    /// Envoy by itself.
    Alone,
    Off,
    On,
}

/// Figures of a group in a round: the times to the first tokens, and the number of requests that
/// were not served.
#[derive(Debug, Default)]
struct Got {
    first_tokens: Vec<Duration>,
    failed: usize,
}

/// Describes the load, in words.
pub(super) fn about(servers: usize) -> String {
    let clients = |group: &Group| format!("{} of {}", group.clients * servers, group.name);
    format!(
        "Overload: clients that ask again when they are answered, prompts without reuse; {}. Rounds of {} s, what began in time is \
         waited for. The gate is a concurrency-detector of {PLACES} places a server, with tenants in turn.",
        GROUPS.each_ref().map(clients).join(", "),
        LOAD.as_secs()
    )
}

/// Loads the servers in each way in turn, and returns the table and the raw figures.
pub(super) async fn run(setting: &Setting, model: &str) -> Result<(Table, Value)> {
    let rounds = if setting.quick { 1 } else { ROUNDS };
    let mut stacks = Vec::new();
    for gate in Admission::ALL {
        stacks.push(gate.start(setting).await?);
    }
    let mut all: Vec<Vec<[Got; GROUPS.len()]>> = Admission::ALL.map(|_| Vec::new()).into();
    for _ in 0..rounds {
        for (stack, rounds) in stacks.iter().zip(&mut all) {
            rounds.push(load(stack.gateway, model, setting).await?);
        }
    }
    Ok((table(&all), raw(&all)))
}

/// Runs one round of all groups at one gateway.
async fn load(gateway: SocketAddr, model: &str, setting: &Setting) -> Result<[Got; GROUPS.len()]> {
    let run = fastrand::u64(..);
    let time = if setting.quick { LOAD / 6 } else { LOAD };
    let end = Instant::now() + time;
    let mut clients = JoinSet::new();
    let mut number = 0;
    for (group, asks) in GROUPS.iter().enumerate() {
        for _ in 0..asks.clients * setting.servers.len() {
            let client = Client::new(Traffic::NoReuse, run, number);
            clients.spawn(ask_until(end, gateway, model.to_owned(), group, client));
            number += 1;
        }
    }
    let mut got: [Got; GROUPS.len()] = Default::default();
    while let Some(client) = clients.join_next().await {
        let (group, part) = client?;
        let of_group = got.get_mut(group).context("no such group")?;
        of_group.first_tokens.extend(part.first_tokens);
        of_group.failed += part.failed;
    }
    Ok(got)
}

async fn ask_until(
    end: Instant,
    gateway: SocketAddr,
    model: String,
    group: usize,
    mut client: Client,
) -> (usize, Got) {
    let mut got = Got::default();
    let Some(Group { objective, tenant, .. }) = GROUPS.get(group) else { return (group, got) };
    let headers =
        [("x-llm-d-inference-objective", *objective), ("x-llm-d-inference-fairness-id", *tenant)];
    while Instant::now() < end {
        let body = json!({
            "model": model, "stream": true, "max_tokens": OUTPUT, "ignore_eos": true, "temperature": 0,
            "messages": client.ask()
        });
        match timeout_at(end + GRACE, chat::stream(gateway, &headers, &body)).await {
            Ok(Ok(streamed)) => got.first_tokens.push(streamed.first_token),
            Ok(Err(_)) | Err(_) => got.failed += 1,
        }
    }
    (group, got)
}

fn table(all: &[Vec<[Got; GROUPS.len()]>]) -> Table {
    let columns =
        ["overload", "who", "served in a round", "not served", "TTFT mean, s", "TTFT p95, s"];
    let mut table = Table::new(&columns);
    for (gate, rounds) in Admission::ALL.iter().zip(all) {
        for (number, group) in GROUPS.iter().enumerate() {
            let of = |figure: fn(&Got) -> f64| {
                Rounds::new(rounds.iter().filter_map(|round| round.get(number)).map(figure))
            };
            table.row(&[
                gate.name().to_owned(),
                group.name.to_owned(),
                format!("{:.0}", of(|got| got.first_tokens.len() as f64)),
                format!("{:.0}", of(|got| got.failed as f64)),
                format!("{:.2}", of(Got::mean)),
                format!("{:.2}", of(Got::p95)),
            ]);
        }
    }
    table
}

fn raw(all: &[Vec<[Got; GROUPS.len()]>]) -> Value {
    let got = |(group, got): (&Group, &Got)| {
        let first: Vec<f64> = got.first_tokens.iter().map(Duration::as_secs_f64).collect();
        json!({"who": group.name, "ttft_s": first, "failed": got.failed})
    };
    let round =
        |round: &[Got; GROUPS.len()]| -> Value { GROUPS.iter().zip(round).map(got).collect() };
    let gates = Admission::ALL.iter().zip(all);
    gates
        .map(|(gate, rounds)| {
            json!({"gate": gate.name(), "rounds": rounds.iter().map(round).collect::<Vec<_>>()})
        })
        .collect()
}

impl Got {
    fn mean(&self) -> f64 {
        let sum: Duration = self.first_tokens.iter().sum();
        sum.as_secs_f64() / self.first_tokens.len() as f64
    }

    fn p95(&self) -> f64 {
        quantile(&mut self.first_tokens.clone(), 0.95).as_secs_f64()
    }
}

impl Admission {
    const ALL: [Self; 3] = [Self::Alone, Self::Off, Self::On];

    const fn name(self) -> &'static str {
        match self {
            Self::Alone => "Envoy, round robin",
            Self::Off => "llm-picker, gate off",
            Self::On => "llm-picker, gate on",
        }
    }

    async fn start(self, setting: &Setting) -> Result<Stack> {
        let envoy =
            Stack::builder(setting.programs.clone()).upstreams(setting.servers.clone()).workers(2);
        let builder = match self.plugin() {
            Some(plugin) => envoy.plugin(plugin),
            None => envoy.without_filter(Balancing::RoundRobin),
        };
        builder.start().await.context(self.name())
    }

    /// Returns the plugin's configuration: the default profile, and tenants of one priority in
    /// turn.
    fn plugin(self) -> Option<Value> {
        let objectives =
            json!([{"name": "high", "priority": 100}, {"name": "low", "priority": 10}]);
        match self {
            Self::Alone => None,
            Self::Off => Some(json!({"objectives": objectives, "failureMode": "FailClose"})),
            Self::On => Some(json!({
                "objectives": objectives, "failureMode": "FailClose", "featureGates": ["flowControl"],
                "plugins": [
                    {"type": "concurrency-detector", "parameters": {"maxConcurrency": PLACES}},
                    {"type": "round-robin-fairness-policy"}
                ],
                "flowControl": {
                    "defaultRequestTTL": "60s",
                    "saturationDetector": {"pluginRef": "concurrency-detector"},
                    "defaultPriorityBand": {"fairnessPolicyRef": "round-robin-fairness-policy"}
                }
            })),
        }
    }
}
