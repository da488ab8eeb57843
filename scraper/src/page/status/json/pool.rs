//! A pool on the status page.

use std::{cmp::Reverse, net::SocketAddr};

use picker_core::Amounts;
use serde_json::{Value, json};

use super::{News, each, millis, tenths, thousandths};
use crate::{
    page::{
        bands::{BandState, FlowState, bands},
        freshness::fresh_reports,
        history::{Column, PodCells, PodMetrics, PoolCells},
        sample::{PoolSample, Quantiles, ServedRates, share},
        status::{pod_facts, problems::PodState},
    },
    pool::{PoolView, ScrapedPod},
    tallies::ServedTotals,
};

/// Models that are shown of one pool, those with the most requests.
const MODELS_MAX: usize = 50;

pub(super) fn pool(view: &PoolView, news: &News<'_>) -> Value {
    let name = &*view.pool;
    let readings = view.readings.borrow().clone();
    let pods = readings.as_ref().map_or(&[][..], |readings| &readings.pods);
    let unseen = PoolSample::default();
    let seen = news.sample.and_then(|it| it.pools.get(name)).unwrap_or(&unseen);
    let cells: Vec<Option<&PoolCells>> =
        news.columns.iter().map(|column| column.pools.get(name)).collect();
    let count = |read: fn(&PoolCells) -> Option<u64>| -> Vec<Option<u64>> {
        cells.iter().map(|cells| cells.and_then(read)).collect()
    };
    let served = |read: fn(&ServedRates) -> Option<f64>| -> Vec<Option<f64>> {
        let rates = cells.iter().map(|cells| cells.and_then(|it| it.served.as_ref()));
        rates.map(|rates| rates.and_then(read).map(tenths)).collect()
    };
    let decisions = news.history.decisions.get(name).into_iter();
    let decisions = decisions.flat_map(|log| log.since(news.first));
    let decisions = decisions.map(|it| json!({"atMs": it.at_ms, "text": it.text}));
    let mut value = json!({
        "name": name,
        "known": readings.is_some(),
        "held": count(|it| it.held),
        "inFlight": count(|it| it.in_flight),
        "ttft50": served(|it| it.ttft.map(|it| it.p50)),
        "ttft95": served(|it| it.ttft.map(|it| it.p95)),
        "itl50": served(|it| it.itl.map(|it| it.p50)),
        "itl95": served(|it| it.itl.map(|it| it.p95)),
        "tokens": served(|it| Some(it.tokens)),
        "errors": served(|it| Some(it.errors)),
        "pods": pods.iter().map(|it| pod(it, news, name, seen)).collect::<Vec<_>>(),
        "windowMs": millis(seen.length),
        "served": served_in(&seen.window.all, seen),
        "models": models(seen),
        "decisions": decisions.collect::<Vec<_>>(),
    });
    let reports = news.sample.map(|it| fresh_reports(&it.envoys, name, it.at)).unwrap_or_default();
    let details = || reports.iter().map(|report| &report.details);
    let limits = details().fold(Amounts::default(), |all, it| all.least(it.limits));
    let bands = bands(&reports, &seen.window, readings.as_ref().map(|it| &*it.objectives));
    let let_go = bands.iter().map(|band| band.sum.dispatched).sum();
    let gate = [
        ("flowControl", json!(details().any(|it| it.has_flow_control))),
        ("observed", json!(details().any(|it| it.is_observing).then(|| observed(seen)))),
        ("saturation", json!(seen.saturation.map(hundredths))),
        ("limit", json!({"requests": limits.requests, "tokens": limits.tokens})),
        ("bands", bands.iter().map(|it| band(it, let_go)).collect()),
    ];
    add(&mut value, gate);
    value
}

/// Adds members to an object.
fn add<const N: usize>(object: &mut Value, more: [(&str, Value); N]) {
    if let Some(members) = object.as_object_mut() {
        members.extend(more.map(|(name, value)| (name.to_owned(), value)));
    }
}

fn pod(scraped: &ScrapedPod, news: &News<'_>, pool: &str, seen: &PoolSample) -> Value {
    let facts = pod_facts(scraped, news.now);
    let (state, why) = match facts.state {
        PodState::Up => ("up", None),
        PodState::Stale(_) => ("stale", None),
        PodState::Unread(why) => ("unread", why),
        PodState::Down(why) => ("down", Some(why)),
    };
    let at = scraped.state.borrow().reading.as_ref().map(|timed| timed.at);
    let address = scraped.pod.address;
    let cells = each(&news.columns, |column| pod_cells(column, pool, address));
    let metric = |read: fn(PodMetrics) -> Value| -> Vec<Value> {
        let metrics = cells.iter().map(|cells| cells.and_then(|it| it.metrics));
        metrics.map(|metrics| metrics.map_or(Value::Null, read)).collect()
    };
    json!({
        "address": facts.address,
        "state": state,
        "why": why,
        "ageMs": at.map(|at| millis(news.now.saturating_duration_since(at))),
        "labels": scraped.pod.labels,
        "waiting": metric(|it| it.waiting.into()),
        "running": metric(|it| it.running.into()),
        "kv": metric(|it| thousandths(it.kv_usage).into()),
        "hits": metric(|it| it.prefix_hits.map(thousandths).into()),
        "inFlight": cells.iter().map(|it| it.and_then(|it| it.in_flight)).collect::<Vec<_>>(),
        "served": seen.window.endpoints.get(&address).map(|it| served_in(it, seen)),
    })
}

fn pod_cells(column: &Column, pool: &str, address: SocketAddr) -> Option<PodCells> {
    column.pools.get(pool)?.pods.get(&address).copied()
}

/// The models of the last minute, those with the most requests first.
fn models(seen: &PoolSample) -> Vec<Value> {
    let models = seen.window.models.iter().filter(|(_, it)| it.requests > 0);
    let mut models: Vec<(&String, &ServedTotals)> = models.collect();
    models.sort_by_key(|(name, it)| (Reverse(it.requests), *name));
    let model = |(name, served): (&String, &ServedTotals)| json!({"name": name, "served": served_in(served, seen)});
    models.into_iter().take(MODELS_MAX).map(model).collect()
}

/// Service within the last minute.
fn served_in(served: &ServedTotals, seen: &PoolSample) -> Value {
    let rates = ServedRates::new(served, seen.length);
    json!({
        "requests": hundredths(rates.requests),
        "errors": hundredths(rates.errors),
        "tokens": tenths(rates.tokens),
        "ttft": quantiles(rates.ttft),
        "itl": quantiles(rates.itl),
    })
}

/// The three quantiles in milliseconds.
fn quantiles(times: Option<Quantiles>) -> Option<[f64; 3]> {
    times.map(|Quantiles { p50, p95, p99 }| [p50, p95, p99].map(tenths))
}

/// Findings of a picker that only looks on.
fn observed(seen: &PoolSample) -> Value {
    let observed = &seen.window.observed;
    json!({
        "same": observed.same,
        "other": observed.other,
        "unknown": observed.unknown,
        "overruled": observed.overruled,
        "expected": quantiles(Quantiles::new(|part| observed.expected_ms(part))),
        "took": quantiles(Quantiles::new(|part| observed.took_ms(part))),
    })
}

/// A band, with its share of the requests that all bands let go.
fn band(band: &BandState, let_go: u64) -> Value {
    let tenant = |(name, state): &(String, FlowState)| {
        let mut value = flow(state, band.sum.dispatched);
        add(&mut value, [("tenant", name.as_str().into())]);
        value
    };
    let mut value = flow(&band.sum, let_go);
    let more = [
        ("priority", band.priority.into()),
        ("objectives", json!(band.objectives)),
        ("tenants", band.tenants.iter().map(tenant).collect()),
        ("tenantCount", json!(band.tenant_count)),
    ];
    add(&mut value, more);
    value
}

fn flow(state: &FlowState, let_go: u64) -> Value {
    let FlowState { requests, bytes, oldest, dispatched } = state;
    json!({
        "requests": requests,
        "bytes": bytes,
        "oldestMs": oldest.map(millis),
        "dispatched": dispatched,
        "share": share(*dispatched, let_go).map(hundredths),
    })
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
