//! The data of the status page, as JSON.

mod pool;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use picker_core::Measure;
use serde_json::{Value, json};
use wire::report::Report;

use super::{
    Status,
    problems::{GatewayFacts, Level},
};
use crate::{
    exchange::ExchangeRow,
    page::{
        history::{Column, History},
        sample::PageSample,
    },
    push::EnvoyStatus,
};

/// The part of the history that is new to a browser, and what its newest column was made of.
struct News<'a> {
    now: Instant,
    columns: Vec<&'a Column>,
    sample: Option<&'a PageSample>,
    history: &'a History,
    /// Number of the first of the columns.
    first: u64,
}

pub(super) fn page(status: &Status, now: Instant, history: &History, first: u64) -> Value {
    let uptime = now.saturating_duration_since(status.started);
    let sample = history.sample.as_ref().map(Arc::as_ref);
    let columns: Vec<_> = history.since(first).collect();
    let news = News { now, columns, sample, history, first };
    let problems = status.problems(now, sample).into_iter().map(|problem| {
        let level = match problem.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        json!({"level": level, "text": problem.text})
    });
    let pools = status.pools.iter().map(|view| pool::pool(view, &news));
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "epoch": status.epoch,
        "uptimeMs": millis(uptime),
        "intervalMs": millis(status.interval),
        "problems": problems.collect::<Vec<_>>(),
        "gateways": gateways(status, now, sample),
        "step": status.step(now),
        "next": history.next(),
        "times": each(&news.columns, |column| column.at_ms),
        "rates": {
            "placed": each(&news.columns, |column| column.placed.map(tenths)),
            "refused": each(&news.columns, |column| column.refused.map(tenths)),
        },
        "pools": pools.collect::<Vec<_>>(),
    })
}

/// The gateways with their reports: those that are pushed to first, then those that fetch. Those that take no
/// snapshots stand before the others.
fn gateways(status: &Status, now: Instant, sample: Option<&PageSample>) -> Vec<Value> {
    let rows = status.exchanges.rows(now);
    let pushed = status.gateways.borrow().len();
    let mut facts: Vec<_> = status.gateway_facts(now).into_iter().enumerate().collect();
    facts.sort_by_key(|(_, facts)| facts.down.is_none());
    let gateway = |(index, facts): (usize, GatewayFacts)| {
        let envoy = sample.and_then(|sample| sample.envoy(&facts.name));
        let member = envoy.and_then(|it: &EnvoyStatus| it.member);
        let own = rows.iter().filter(|row| Some(row.status.gateway) == member);
        let mut value = gateway(facts, envoy, index >= pushed);
        if let Some(members) = value.as_object_mut() {
            members.insert("exchange".to_owned(), own.map(exchange).collect());
        }
        value
    };
    facts.into_iter().map(gateway).collect()
}

/// The gateway's exchange with the others, of one pool.
fn exchange(row: &ExchangeRow) -> Value {
    let ExchangeRow { pool, status, refused } = row;
    json!({
        "pool": **pool,
        "ageMs": millis(status.age),
        "told": status.events,
        "dropped": status.dropped,
        "refused": refused,
        "credit": status.credit.get(Measure::Requests),
        "used": status.used.get(Measure::Requests),
    })
}

fn gateway(facts: GatewayFacts, envoy: Option<&EnvoyStatus>, pulls: bool) -> Value {
    let reports: Vec<&Report> =
        envoy.into_iter().flat_map(|it| it.reports.values().map(|timed| &timed.report)).collect();
    let sum = |count: fn(&Report) -> u64| reports.iter().map(|it| count(it)).sum::<u64>();
    let most = |count: fn(&Report) -> u64| reports.iter().map(|it| count(it)).max();
    let reported = !reports.is_empty();
    json!({
        "name": facts.name,
        "pulls": pulls,
        "state": match (&facts.down, facts.taken) {
            (Some(_), _) => "down",
            (None, None) => "new",
            (None, Some(_)) => "ok",
        },
        "why": facts.down,
        "takenMs": facts.taken.map(millis),
        "workers": most(|it| u64::try_from(it.workers).unwrap_or(u64::MAX)),
        "held": reported.then(|| sum(|it| it.waiting.into())),
        "inFlight": reported.then(|| {
            sum(|it| it.in_flight.iter().map(|row| u64::from(row.requests)).sum())
        }),
        // Each report has the counts of all pools together.
        "placed": most(|it| it.decisions.picked.saturating_add(it.decisions.failed_open)),
        "refused": most(|it| it.decisions.refused),
    })
}

fn each<T>(columns: &[&Column], read: impl Fn(&Column) -> T) -> Vec<T> {
    columns.iter().map(|column| read(column)).collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Rounds a rate: short in JSON, and finer than a pixel.
fn tenths(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}

fn thousandths(share: f32) -> f64 {
    (f64::from(share) * 1000.0).round() / 1000.0
}
