//! Real engines behind the picker and behind others, under the same traffic.
//!
//! The engines are whatever runs where `--servers` says, of one model: what it takes to install and to start vLLM is the
//! user's to know. All routers stand in front of them all the time and take turns.

mod engines;
mod overload;
mod traffic;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use self::{
    engines::Cached,
    traffic::{Client, Traffic},
};
use crate::{
    Setting, chat,
    overhead::Row,
    report::{Report, Table},
    summary::{Rounds, quantile},
};

/// Number of clients for each server: enough that a choice between servers matters, few enough that
/// a small engine keeps up.
const CLIENTS: usize = 2;

/// Number of tokens of an answer.
const OUTPUT: u32 = 16;

/// The amount of traffic.
#[derive(Clone, Copy, Debug)]
struct Amount {
    rounds: usize,
    /// Number of requests of a client, in each round of each traffic.
    requests: usize,
}

const FULL: Amount = Amount { rounds: 3, requests: 8 };

const QUICK: Amount = Amount { rounds: 1, requests: 3 };

/// Figures of one router's turn.
#[derive(Debug, Default)]
struct Turn {
    first_tokens: Vec<Duration>,
    took: Duration,
    prompt_tokens: f64,
    /// Number of prompt tokens that the picker expected to be cached.
    expected: f64,
    cached: Cached,
}

/// Measures, and returns the report.
pub(crate) async fn run(setting: &Setting) -> Result<Report> {
    let servers = &setting.servers;
    ensure!(
        servers.len() > 1,
        "found {} servers; allowed: --servers HOST:PORT,HOST:PORT,... of two or more that serve one model",
        servers.len()
    );
    let model = engines::model(*servers.first().context("no servers")?).await?;
    let mut report = Report::begin("real-vllm");
    let amount = if setting.quick { QUICK } else { FULL };
    let clients = CLIENTS * servers.len();
    report.say(format!(
        "{} servers of {model}, {clients} clients that ask again when they are answered, {} rounds of {} requests each, {OUTPUT} output \
         tokens. No two turns have a prefix in common. Cached is what the engines found, of what they looked up \
         (`vllm:prefix_cache_hits_total`); expected is what the picker's `prefix-hit` said of the endpoint that it chose.",
        servers.len(), amount.rounds, amount.requests
    ));
    let rows = Row::over_engines(setting, &model).await?;
    let mut raw = Vec::new();
    for traffic in Traffic::ALL {
        let mut turns: Vec<Vec<Turn>> = rows.iter().map(|_| Vec::new()).collect();
        for _ in 0..amount.rounds {
            for (row, turns) in rows.iter().zip(&mut turns) {
                let turn = take_turn(row.address(), servers, &model, traffic, amount.requests);
                turns.push(turn.await.with_context(|| row.name.clone())?);
            }
        }
        report.show(table(traffic, &rows, &turns));
        let named = rows.iter().zip(&turns);
        raw.extend(named.flat_map(|(row, turns)| turns.iter().map(|it| it.raw(row, traffic))));
    }
    drop(rows);
    report.say(overload::about(servers.len()));
    let (table, overload) = overload::run(setting, &model).await?;
    report.show(table);
    report.raw(json!({"turns": raw, "overload": overload}));
    Ok(report)
}

async fn take_turn(
    router: SocketAddr,
    servers: &[SocketAddr],
    model: &str,
    traffic: Traffic,
    requests: usize,
) -> Result<Turn> {
    let before = engines::cached(servers).await?;
    let begun = Instant::now();
    let run = fastrand::u64(..);
    let mut clients = JoinSet::new();
    for number in (0..).take(CLIENTS * servers.len()) {
        let client = Client::new(traffic, run, number);
        clients.spawn(ask_all(client, router, model.to_owned(), requests));
    }
    let mut turn = Turn::default();
    while let Some(part) = clients.join_next().await {
        let Turn { first_tokens, prompt_tokens, expected, .. } = part??;
        turn.first_tokens.extend(first_tokens);
        turn.prompt_tokens += prompt_tokens;
        turn.expected += expected;
    }
    turn.took = begun.elapsed();
    turn.cached = engines::cached(servers).await?.since(before);
    Ok(turn)
}

async fn ask_all(
    mut client: Client,
    router: SocketAddr,
    model: String,
    requests: usize,
) -> Result<Turn> {
    let mut turn = Turn::default();
    for _ in 0..requests {
        let body = json!({
            "model": model, "stream": true, "stream_options": {"include_usage": true}, "max_tokens": OUTPUT,
            "ignore_eos": true, "temperature": 0, "messages": client.ask()
        });
        let streamed = chat::stream(router, &[], &body).await?;
        let usage = streamed.events().find_map(|it| it.pointer("/usage/prompt_tokens")?.as_f64());
        let tokens = usage.context("an answer without usage.prompt_tokens")?;
        turn.first_tokens.push(streamed.first_token);
        turn.prompt_tokens += tokens;
        turn.expected += tokens * streamed.decision.as_deref().and_then(prefix_hit).unwrap_or(0.0);
        client.hear(&streamed.text());
    }
    Ok(turn)
}

/// Returns the share of the prompt that the picker expected to be cached.
fn prefix_hit(decision: &str) -> Option<f64> {
    decision.split(';').find_map(|part| part.strip_prefix("prefix-hit="))?.parse().ok()
}

fn table(traffic: Traffic, rows: &[Row], turns: &[Vec<Turn>]) -> Table {
    let columns = ["TTFT mean, ms", "p90, ms", "requests/s", "cached, %", "expected, %"];
    let mut table = Table::new(&[&[traffic.name()][..], &columns[..]].concat());
    for (row, turns) in rows.iter().zip(turns) {
        let of = |figure: fn(&Turn) -> f64| Rounds::new(turns.iter().map(figure));
        let expected = if turns.iter().any(|turn| turn.expected > 0.0) {
            format!("{:.1}", of(Turn::expected_percent))
        } else {
            "-".to_owned()
        };
        table.row(&[
            row.name.clone(),
            format!("{:.0}", of(Turn::mean_ms)),
            format!("{:.0}", of(Turn::p90_ms)),
            format!("{:.2}", of(Turn::per_second)),
            format!("{:.1}", of(|turn| turn.cached.percent())),
            expected,
        ]);
    }
    table
}

impl Turn {
    fn mean_ms(&self) -> f64 {
        let sum: Duration = self.first_tokens.iter().sum();
        1e3 * sum.as_secs_f64() / self.first_tokens.len() as f64
    }

    fn p90_ms(&self) -> f64 {
        1e3 * quantile(&mut self.first_tokens.clone(), 0.9).as_secs_f64()
    }

    fn per_second(&self) -> f64 {
        self.first_tokens.len() as f64 / self.took.as_secs_f64()
    }

    fn expected_percent(&self) -> f64 {
        100.0 * self.expected / self.prompt_tokens
    }

    fn raw(&self, row: &Row, traffic: Traffic) -> Value {
        let first: Vec<f64> = self.first_tokens.iter().map(Duration::as_secs_f64).collect();
        json!({
            "router": row.name, "traffic": traffic.name(), "took_s": self.took.as_secs_f64(), "ttft_s": first,
            "prompt_tokens": self.prompt_tokens, "expected_tokens": self.expected,
            "queried_tokens": self.cached.queried, "cached_tokens": self.cached.found,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_decision_header_says_what_is_expected() {
        let decision =
            "endpoint=127.0.0.1:1;ttft=1.00;score=1.00;prefix-hit=0.83;snapshot-age-ms=42";
        assert_eq!(prefix_hit(decision), Some(0.83));
        assert_eq!(prefix_hit("endpoint=127.0.0.1:1;queue=1.00"), None);
    }
}
