//! The data of the status page, as JSON.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use picker_core::Measure;
use serde_json::{Value, json};
use wire::report::{Queue, Report};

use super::{
    Status, pod_facts,
    problems::{GatewayFacts, Level, PodState},
};
use crate::{
    exchange::ExchangeRow,
    page::{
        freshness::fresh_reports,
        history::{Column, History, PodCells, PodMetrics, PoolCells},
    },
    pool::{PoolView, ScrapedPod},
    push::EnvoyStatus,
};

/// Flows that are shown of one pool. A report names 64, of several gateways.
const FLOWS_MAX: usize = 256;

/// The columns of the history that a browser has already.
pub(super) struct HistoryPosition<'a> {
    /// Number of the first column that the browser lacks.
    pub(super) number: u64,
    /// Run of the scraper that numbered the columns.
    pub(super) epoch: &'a str,
}

pub(super) fn page(
    status: &Status,
    now: Instant,
    history: &History,
    position: HistoryPosition<'_>,
) -> Value {
    let uptime = now.saturating_duration_since(status.started);
    let first = if position.epoch == status.epoch { position.number } else { 0 };
    let columns: Vec<_> = history.since(first).collect();
    let envoys = Envoys::now(status, now);
    let problems = status.problems(now).into_iter().map(|problem| {
        let level = match problem.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        json!({"level": level, "text": problem.text})
    });
    let pools = status.pools.iter().map(|view| pool(view, now, &columns, &envoys.all));
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "epoch": status.epoch,
        "uptimeMs": millis(uptime),
        "intervalMs": millis(status.interval),
        "problems": problems.collect::<Vec<_>>(),
        "gateways": gateways(status, now, &envoys),
        "step": status.step(now),
        "next": history.next(),
        "times": each(&columns, |column| column.at_ms),
        "rates": {
            "placed": each(&columns, |column| column.placed.map(tenths)),
            "refused": each(&columns, |column| column.refused.map(tenths)),
        },
        "pools": pools.collect::<Vec<_>>(),
    })
}

/// The gateways with their reports: those that are pushed to first, then those that fetch.
struct Envoys {
    all: Vec<EnvoyStatus>,
    pushed: usize,
}

impl Envoys {
    fn now(status: &Status, now: Instant) -> Self {
        let pushed = status.gateways.borrow().clone();
        let statuses = pushed.iter().map(|gateway| gateway.status.borrow().clone());
        let all = statuses.chain(status.pulls.gateways(now).into_values()).collect();
        Self { all, pushed: pushed.len() }
    }
}

fn gateways(status: &Status, now: Instant, envoys: &Envoys) -> Vec<Value> {
    let gateways = status.gateway_facts(now).into_iter().enumerate();
    let rows = status.exchanges.rows(now);
    let gateway = |(index, facts)| {
        let envoy = envoys.all.get(index);
        let member = envoy.and_then(|it: &EnvoyStatus| it.member);
        let own = rows.iter().filter(|row| Some(row.status.gateway) == member);
        let mut value = gateway(facts, envoy, index >= envoys.pushed);
        if let Some(members) = value.as_object_mut() {
            members.insert("exchange".to_owned(), own.map(exchange).collect());
        }
        value
    };
    gateways.map(gateway).collect()
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
        "placed": most(|it| it.decisions.picked + it.decisions.failed_open),
        "refused": most(|it| it.decisions.refused),
    })
}

fn pool(view: &PoolView, now: Instant, columns: &[&Column], envoys: &[EnvoyStatus]) -> Value {
    let name = &*view.pool;
    let readings = view.readings.borrow().clone();
    let pods = readings.as_ref().map_or(&[][..], |readings| &readings.pods);
    let cells = |column: &Column| -> Option<PoolCells> {
        let PoolCells { held, in_flight, .. } = column.pools.get(name)?;
        Some(PoolCells { held: *held, in_flight: *in_flight, pods: Default::default() })
    };
    let queues = fresh_reports(envoys, name, now).into_iter().flat_map(|it| &it.queues);
    let queue = |queue: &Queue| {
        let Queue { priority, fairness_id, requests, bytes } = queue;
        json!({"priority": priority, "tenant": fairness_id, "requests": requests, "bytes": bytes})
    };
    json!({
        "name": name,
        "known": readings.is_some(),
        "held": each(columns, |column| cells(column).and_then(|it| it.held)),
        "inFlight": each(columns, |column| cells(column).and_then(|it| it.in_flight)),
        "pods": pods.iter().map(|it| pod(it, now, name, columns)).collect::<Vec<_>>(),
        "queues": queues.take(FLOWS_MAX).map(queue).collect::<Vec<_>>(),
    })
}

fn pod(scraped: &ScrapedPod, now: Instant, pool: &str, columns: &[&Column]) -> Value {
    let facts = pod_facts(scraped, now);
    let (state, why) = match facts.state {
        PodState::Up => ("up", None),
        PodState::Stale(_) => ("stale", None),
        PodState::Unread(why) => ("unread", why),
        PodState::Down(why) => ("down", Some(why)),
    };
    let at = scraped.state.borrow().reading.as_ref().map(|timed| timed.at);
    let address = scraped.pod.address;
    let cells: Vec<Option<PodCells>> =
        columns.iter().map(|column| cells(column, pool, address)).collect();
    let metric = |read: fn(PodMetrics) -> Value| -> Vec<Value> {
        let metrics = cells.iter().map(|cells| cells.and_then(|it| it.metrics));
        metrics.map(|metrics| metrics.map_or(Value::Null, read)).collect()
    };
    json!({
        "address": facts.address,
        "state": state,
        "why": why,
        "ageMs": at.map(|at| millis(now.saturating_duration_since(at))),
        "labels": scraped.pod.labels,
        "waiting": metric(|it| it.waiting.into()),
        "running": metric(|it| it.running.into()),
        "kv": metric(|it| thousandths(it.kv_usage).into()),
        "hits": metric(|it| it.prefix_hits.map(thousandths).into()),
        "inFlight": cells.iter().map(|it| it.and_then(|it| it.in_flight)).collect::<Vec<_>>(),
    })
}

fn cells(column: &Column, pool: &str, address: SocketAddr) -> Option<PodCells> {
    column.pools.get(pool)?.pods.get(&address).copied()
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
