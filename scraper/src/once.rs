//! `--once`: one look at each pool, and no more.

use std::time::{Duration, Instant};

use picker_core::{
    Adapters, CacheConfig, Endpoint, Health, Metrics, ModelRewrite, RewriteRule, RewriteTarget,
    Snapshot,
};
use serde_json::{Value, json};
use tokio::time;

use crate::{
    meters::Meters,
    pool::{self, PodReadings, PoolView},
    scraper::{FollowedPool, SharedResources, StartError, follow},
    settings::{Pace, PoolSettings},
};

/// Time between two checks that every endpoint was tried.
const CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// Endpoints that are asked at once.
const SCRAPES_MAX: usize = 64;

/// Longest time on top of one scrape's time-out: names to look up, a list to fetch.
const DISCOVERY_MAX: Duration = Duration::from_secs(10);

/// Returns a snapshot of each pool, once every endpoint was tried. A pool for which that takes too
/// long has the snapshot of what is known by then.
///
/// # Errors
/// If an endpoints file is broken, or nothing was found out about a pool.
pub async fn once(
    pools: Vec<PoolSettings>,
    timeout: Duration,
) -> Result<Vec<Snapshot>, StartError> {
    let meters = Meters::new(Instant::now()).into();
    let pace = Pace {
        interval: CHECK_INTERVAL,
        idle_interval: CHECK_INTERVAL,
        timeout,
        scrapes: SCRAPES_MAX,
    };
    let shared = SharedResources::new(pace, meters);
    let mut snapshots = Vec::with_capacity(pools.len());
    for pool in pools {
        let name = pool.name.clone();
        let FollowedPool { tasks: _tasks, view } = follow(pool, shared.clone()).await?;
        let _ = time::timeout(DISCOVERY_MAX + timeout, tried(&view)).await;
        let readings = view.readings.borrow().clone();
        let readings = readings.ok_or_else(|| {
            StartError::Endpoints(format!("failed to look up the endpoints of pool {name}"))
        })?;
        snapshots.push(pool::snapshot(&view.pool, &readings, Instant::now()));
    }
    Ok(snapshots)
}

/// Waits until every endpoint was tried.
async fn tried(view: &PoolView) {
    let all = |readings: &PodReadings| readings.pods.iter().all(|pod| pod.state.borrow().tried);
    while !view.readings.borrow().as_ref().is_some_and(all) {
        time::sleep(CHECK_INTERVAL).await;
    }
}

/// Returns a snapshot as JSON, for people and their programs.
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
    let rule = |it: &RewriteRule| {
        let targets: Vec<_> = it.targets.iter().map(target).collect();
        json!({"models": it.models, "targets": targets})
    };
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
