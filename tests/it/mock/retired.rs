//! Pools that the configuration no longer has: what they stored is emptied, and nothing that still runs is lost.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use host_mock::{FailPolicy, Plugin};
use picker_core::Snapshot;
use serde_json::{Value, json};
use wire::layout::key;

use super::{
    push::{Pod, Push},
    world::{CHAT, Way, World, chat_body},
};

fn pools(names: &[&str]) -> Value {
    let pool = |name: &&str| json!({"name": name, "match": {"host": name}});
    json!({"pools": names.iter().map(pool).collect::<Vec<_>>()})
}

fn reconfigure(world: &World, names: &[&str]) {
    let plugin = Plugin::new("picker", pools(names).to_string())
        .allow_on_headers_stop_iteration(true)
        .fail_policy(FailPolicy::Reload);
    world.envoy.reconfigure(plugin).unwrap();
}

/// VMs die before Envoy takes their old instances away; those in their place have the newest instance alone.
fn old_instances_go(world: &World, workers: &[usize]) {
    world.envoy.run_for(Duration::from_secs(2));
    world.envoy.main_thread().kill();
    for worker in workers {
        world.envoy.worker(*worker).kill();
        assert!(ask(world, *worker, "a").status() != Some(500));
    }
}

fn push(world: &World, pool: &str) {
    let endpoints = vec![Pod::idle(1).endpoint()];
    let snapshot = Snapshot { pool: pool.to_owned(), endpoints, ..Snapshot::default() };
    let push = Push { body: wire::snapshot::encode(&snapshot).unwrap(), ..world.push(&[]) };
    assert_eq!(world.ingest(0, &push.headers(), &push.body).status(), Some(204));
}

fn ask(world: &World, worker: usize, pool: &str) -> host_mock::Stream {
    world.envoy.worker(worker).post(CHAT, &[(":authority", pool)], &chat_body("hello"))
}

/// Bytes that a pool has in shared data: all, and those of the ledger.
fn stored(world: &World, pool: &str) -> (usize, usize) {
    let bytes = |what: &str| world.envoy.shared_data(&key(pool, what)).unwrap_or_default().len();
    let ring: usize = (0..1024).map(|n| bytes(&format!("note/{n}"))).sum();
    let ledger = bytes("ledger");
    (["snapshot", "pull", "queues"].map(bytes).iter().sum::<usize>() + ring + ledger, ledger)
}

#[test]
fn a_pool_that_is_gone_is_emptied_when_it_is_at_rest() {
    let world = World::with(Way::STOP_ITERATION_HEADER, &pools(&["a", "b"]));
    for pool in ["a", "b"] {
        push(&world, pool);
        for worker in 0..4 {
            ask(&world, worker, pool).respond(200, &[] as &[(&str, &str)], b"{}");
        }
    }
    let lasting = ask(&world, 2, "b");
    assert!(lasting.sent().is_some());
    reconfigure(&world, &["a"]);
    old_instances_go(&world, &[0, 1, 3]);
    world.envoy.run_for(Duration::from_secs(60));
    let (all, ledger) = stored(&world, "b");
    assert!(all > ledger && ledger > 80, "a request is in flight: {all}, {ledger}");
    lasting.respond(200, &[] as &[(&str, &str)], b"{}");
    assert_eq!(lasting.status(), Some(200));
    world.envoy.run_for(Duration::from_secs(30));
    assert_ne!(stored(&world, "b"), (80, 80), "worker 2 still has an instance with it");
    world.envoy.end_old_instances();
    world.envoy.run_for(Duration::from_secs(20));
    assert_eq!(stored(&world, "b"), (80, 80), "the ledger's counters are all that is left");
    let (all, ledger) = stored(&world, "a");
    assert!(all > ledger, "the other pool keeps what it has: {all}, {ledger}");
    assert!(ask(&world, 1, "a").sent().is_some());
}

/// A pool that was emptied is there again, with workers that were in it before.
#[test]
fn a_pool_that_comes_back_is_served() {
    let world = World::with(Way::STOP_ITERATION_HEADER, &pools(&["a", "b"]));
    push(&world, "b");
    ask(&world, 0, "b").respond(200, &[] as &[(&str, &str)], b"{}");
    reconfigure(&world, &["a"]);
    old_instances_go(&world, &[0, 1, 2, 3]);
    world.envoy.run_for(Duration::from_secs(20));
    assert_eq!(stored(&world, "b"), (80, 80));
    reconfigure(&world, &["a", "b"]);
    push(&world, "b");
    for worker in 0..4 {
        assert_eq!(world.pod(&ask(&world, worker, "b")).number, 1);
    }
    world.envoy.run_for(Duration::from_secs(30));
    let (all, ledger) = stored(&world, "b");
    assert!(all > ledger, "and is not emptied any more: {all}, {ledger}");
}
