//! What the status page draws, as JSON.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    Status, pod_facts,
    problems::{GatewayFacts, Level, PodState},
};
use crate::{
    board::{Member, View},
    codec::Report,
    envoy::Standing,
    history::{Column, History, PodCells, PoolCells},
    sampler,
};

/// Flows that are shown of one pool. A report names 64, of several gateways.
const FLOWS_MAX: usize = 256;

pub(super) fn page(
    status: &Status,
    now: Instant,
    history: &History,
    (after, epoch): (u64, &str),
) -> Value {
    let uptime = now.saturating_duration_since(status.started);
    let columns: Vec<_> = history.since(if epoch == status.epoch { after } else { 0 }).collect();
    let standings: Vec<_> =
        status.envoys.borrow().iter().map(|(_, seen)| seen.borrow().clone()).collect();
    let problems = status.problems(now).into_iter().map(|problem| {
        let level = match problem.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        json!({"level": level, "text": problem.text})
    });
    let pools = status.pools.iter().map(|view| pool(view, now, &columns, &standings));
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "epoch": status.epoch,
        "uptimeMs": millis(uptime),
        "intervalMs": millis(status.interval),
        "problems": problems.collect::<Vec<_>>(),
        "gateways": gateways(status, now, &standings),
        "next": history.next(),
        "times": each(&columns, |column| column.at_ms),
        "rates": {
            "placed": each(&columns, |column| column.placed.map(tenths)),
            "refused": each(&columns, |column| column.refused.map(tenths)),
        },
        "pools": pools.collect::<Vec<_>>(),
    })
}

fn gateways(status: &Status, now: Instant, standings: &[Standing]) -> Vec<Value> {
    let told = |index: usize| standings.get(index).filter(|it| !it.reports.is_empty());
    let gateway = |(index, facts): (usize, GatewayFacts)| {
        let reports: Vec<&Report> =
            told(index).into_iter().flat_map(|it| it.reports.values().map(|(_, it)| it)).collect();
        let sum = |of: fn(&Report) -> u64| reports.iter().map(|it| of(it)).sum::<u64>();
        let most = |of: fn(&Report) -> u64| reports.iter().map(|it| of(it)).max();
        let tells = !reports.is_empty();
        json!({
            "name": facts.name,
            "pulls": index >= standings.len(),
            "state": match (&facts.down, facts.taken) {
                (Some(_), _) => "down",
                (None, None) => "new",
                (None, Some(_)) => "ok",
            },
            "why": facts.down,
            "takenMs": facts.taken.map(millis),
            "workers": most(|it| u64::try_from(it.workers).unwrap_or(u64::MAX)),
            "held": tells.then(|| sum(|it| it.waiting.into())),
            "inFlight": tells.then(|| {
                sum(|it| it.in_flight.iter().map(|row| u64::from(row.requests)).sum())
            }),
            // Counted over all pools, whichever a report is of.
            "placed": most(|it| it.decisions.picked + it.decisions.failed_open),
            "refused": most(|it| it.decisions.refused),
        })
    };
    status.gateways(now).into_iter().enumerate().map(gateway).collect()
}

fn pool(view: &View, now: Instant, columns: &[&Column], standings: &[Standing]) -> Value {
    let name = &*view.pool;
    let board = view.board.borrow().clone();
    let members = board.as_ref().map_or(&[][..], |board| &board.members);
    let cells = |column: &Column| -> Option<PoolCells> {
        let PoolCells { held, in_flight, .. } = column.pools.get(name)?;
        Some(PoolCells { held: *held, in_flight: *in_flight, pods: Default::default() })
    };
    let queues = sampler::reports(standings, name, now).into_iter().flat_map(|it| &it.queues);
    let queue = |row: &wire::report::Queue| {
        let wire::report::Queue { priority, fairness_id, requests, bytes } = row;
        json!({"priority": priority, "tenant": fairness_id, "requests": requests, "bytes": bytes})
    };
    json!({
        "name": name,
        "known": board.is_some(),
        "held": each(columns, |column| cells(column).and_then(|it| it.held)),
        "inFlight": each(columns, |column| cells(column).and_then(|it| it.in_flight)),
        "pods": members.iter().map(|it| pod(it, now, name, columns)).collect::<Vec<_>>(),
        "queues": queues.take(FLOWS_MAX).map(queue).collect::<Vec<_>>(),
    })
}

fn pod(member: &Member, now: Instant, pool: &str, columns: &[&Column]) -> Value {
    let facts = pod_facts(member, now);
    let (state, why) = match facts.state {
        PodState::Up => ("up", None),
        PodState::Stale(_) => ("stale", None),
        PodState::Unread => ("unread", None),
        PodState::Down(why) => ("down", Some(why)),
    };
    let at = member.row.borrow().reading.as_ref().map(|timed| timed.at);
    let address = member.pod.address;
    let cells: Vec<Option<PodCells>> =
        columns.iter().map(|column| cells(column, pool, address)).collect();
    let said = |of: fn(crate::history::Said) -> Value| -> Vec<Value> {
        cells.iter().map(|cells| cells.and_then(|it| it.said).map_or(Value::Null, of)).collect()
    };
    json!({
        "address": facts.address,
        "state": state,
        "why": why,
        "ageMs": at.map(|at| millis(now.saturating_duration_since(at))),
        "labels": member.pod.labels,
        "waiting": said(|it| it.waiting.into()),
        "running": said(|it| it.running.into()),
        "kv": said(|it| thousandths(it.kv_usage).into()),
        "hits": said(|it| it.prefix_hits.map(thousandths).into()),
        "inFlight": cells.iter().map(|it| it.and_then(|it| it.in_flight)).collect::<Vec<_>>(),
    })
}

fn cells(column: &Column, pool: &str, address: SocketAddr) -> Option<PodCells> {
    column.pools.get(pool)?.pods.get(&address).copied()
}

fn each<T>(columns: &[&Column], of: impl Fn(&Column) -> T) -> Vec<T> {
    columns.iter().map(|column| of(column)).collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Short in JSON, and finer than a pixel.
fn tenths(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}

fn thousandths(share: f32) -> f64 {
    (f64::from(share) * 1000.0).round() / 1000.0
}
