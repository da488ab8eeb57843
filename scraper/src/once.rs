//! One look at a pool, and no more.

use std::time::{Duration, Instant};

use picker_core::{
    Adapters, CacheConfig, Endpoint, Health, Metrics, ModelRewrite, RewriteRule, RewriteTarget,
    Snapshot,
};
use serde_json::{Value, json};
use tokio::time;

use crate::{
    board::{Board, View},
    meters::Meters,
    publisher,
    scraper::{Common, StartError, follow},
    settings::{Pace, PoolSettings},
};

/// Between two looks whether every endpoint was tried.
const AGAIN: Duration = Duration::from_millis(10);

/// Endpoints that are asked at once.
const SCRAPES: usize = 64;

/// What comes on top of one scrape's time-out: names to look up, a list to fetch.
const DISCOVERY: Duration = Duration::from_secs(10);

/// A snapshot of each pool, once every endpoint was tried, or it has taken too long: then what is
/// known.
///
/// # Errors
/// If an endpoints file is broken, or nothing was found out of a pool.
pub async fn once(
    pools: Vec<PoolSettings>,
    timeout: Duration,
) -> Result<Vec<Snapshot>, StartError> {
    let meters = Meters::new(Instant::now()).into();
    let pace = Pace { interval: AGAIN, idle_interval: AGAIN, timeout, scrapes: SCRAPES };
    let common = Common::new(pace, meters);
    let mut snapshots = Vec::with_capacity(pools.len());
    for pool in pools {
        let name = pool.name.clone();
        let (_tasks, view) = follow(pool, common.clone()).await?;
        let _ = time::timeout(DISCOVERY + timeout, tried(&view)).await;
        let board = view.board.borrow().clone();
        let board = board.ok_or_else(|| {
            StartError::Endpoints(format!("the endpoints of pool {name} could not be looked up"))
        })?;
        snapshots.push(publisher::snapshot(&view.pool, &board, Instant::now()));
    }
    Ok(snapshots)
}

async fn tried(view: &View) {
    let all = |board: &Board| board.members.iter().all(|member| member.row.borrow().tried);
    while !view.board.borrow().as_ref().is_some_and(all) {
        time::sleep(AGAIN).await;
    }
}

/// A snapshot for a person, or a program of theirs.
#[must_use]
pub fn to_json(snapshot: &Snapshot) -> Value {
    let objectives = snapshot.objectives.iter();
    let objectives = objectives.map(|it| json!({"name": it.name, "priority": it.priority.0}));
    json!({
        "pool": snapshot.pool,
        "endpoints": snapshot.endpoints.iter().map(endpoint).collect::<Vec<_>>(),
        "objectives": objectives.collect::<Vec<_>>(),
        "modelRewrites": snapshot.model_rewrites.iter().map(rewrite).collect::<Vec<_>>(),
    })
}

fn rewrite(rewrite: &ModelRewrite) -> Value {
    let target = |it: &RewriteTarget| json!({"model": it.model, "weight": it.weight});
    let rule = |it: &RewriteRule| json!({"models": it.models, "targets": it.targets.iter().map(target).collect::<Vec<_>>()});
    let rules: Vec<_> = rewrite.rules.iter().map(rule).collect();
    json!({"name": rewrite.name, "rules": rules})
}

fn endpoint(endpoint: &Endpoint) -> Value {
    let labels = endpoint.labels.iter().map(|(key, value)| (key.clone(), value.as_str().into()));
    json!({
        "address": endpoint.address.to_string(),
        "health": match endpoint.health {
            Health::Up => "up",
            Health::Down => "down",
        },
        "labels": Value::Object(labels.collect()),
        "metrics": endpoint.metrics.as_ref().map(metrics),
    })
}

fn metrics(metrics: &Metrics) -> Value {
    let cache = metrics.cache.as_ref().map(|CacheConfig { block_tokens, blocks }| {
        json!({"blockTokens": block_tokens, "blocks": blocks})
    });
    let adapters = metrics.adapters.as_ref().map(|Adapters { max, running, waiting }| {
        json!({"max": max, "running": running, "waiting": waiting})
    });
    json!({
        "ageMs": u64::try_from(metrics.age.as_millis()).unwrap_or(u64::MAX),
        "waiting": metrics.waiting,
        "running": metrics.running,
        "kvUsage": metrics.kv_usage,
        "cache": cache,
        "adapters": adapters,
    })
}
