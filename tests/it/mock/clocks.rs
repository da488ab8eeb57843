//! Clocks that are set and processes that are stopped: what runs is counted, and what waits is told in time.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use host_mock::Stream;
use serde_json::json;
use wire::push::Stamp;

use super::{
    push::{Pod, Push},
    world::{Way, World},
};

const HOUR: Duration = Duration::from_secs(3_600);

/// A world in which a pod takes one request, and others wait for ten seconds.
fn gated() -> World {
    let detector = json!({"type": "concurrency-detector", "parameters": {"maxConcurrency": 1}});
    let plugins = ["queue-scorer", "max-score-picker", "single-profile-handler"];
    let plugins = plugins.into_iter().map(|name| json!({"type": name})).chain([detector]);
    let keys = json!({
        "featureGates": ["flowControl"],
        "plugins": plugins.collect::<Vec<_>>(),
        "schedulingProfiles": [{"name": "default", "plugins": [{"pluginRef": "queue-scorer"}]}],
        "flowControl": {
            "saturationDetector": {"pluginRef": "concurrency-detector"},
            "defaultRequestTTL": "10s",
        },
    });
    World::with(Way::STOP_ITERATION_HEADER, &keys)
}

/// Requests of which one goes and the others wait, each at a worker of its own.
fn one_goes(world: &World) -> (Stream, [Stream; 2]) {
    push(world);
    let goes = world.chat(0, "first");
    assert!(goes.sent().is_some(), "{:?}", goes.response());
    let held = [world.chat(1, "second"), world.chat(2, "third")];
    world.envoy.run_for(Duration::from_millis(100));
    assert!(held.iter().all(|it| it.sent().is_none() && it.status().is_none()));
    (goes, held)
}

/// A push of a scraper that says for how long it has been up.
fn next(world: &World) -> Push {
    let push = world.push(&[Pod::idle(1)]);
    let Stamp { sequence, .. } = Stamp::new(push.time, 7, push.sequence);
    Push { sequence, ..push }
}

fn push(world: &World) {
    let push = next(world);
    let stream = world.ingest(0, &push.headers(), &push.body);
    assert_eq!(stream.status(), Some(204), "{:?}", stream.response());
}

fn counts(world: &World) -> (u64, u32, usize) {
    let bytes = world.envoy.shared_data(&wire::layout::key("default", "ledger")).unwrap();
    let ledger = wire::ledger::decode(&bytes);
    (ledger.accounts.requests(), ledger.waiting, ledger.members.iter().len())
}

#[test]
fn a_stop_of_seven_seconds_costs_nothing_that_runs_or_waits() {
    let world = gated();
    let (goes, held) = one_goes(&world);
    world.envoy.stop_for(Duration::from_secs(7));
    world.envoy.run_for(Duration::from_millis(200));
    assert_eq!(counts(&world), (1, 2, 3), "no worker judges another right after a stop");
    assert!(held.iter().all(|it| it.sent().is_none()), "the pod is full");
    goes.respond(200, &[] as &[(&str, &str)], b"{}");
    world.envoy.run_for(Duration::from_millis(100));
    assert_eq!(held.iter().filter(|it| it.sent().is_some()).count(), 1);
    // The other one waits for no longer than its ten seconds, the stop among them.
    world.envoy.run_for(Duration::from_millis(2_800));
    let told: Vec<_> = held.iter().filter_map(Stream::status).collect();
    assert_eq!(told, [429]);
    for stream in held.iter().filter(|it| it.sent().is_some()) {
        stream.respond(200, &[] as &[(&str, &str)], b"{}");
    }
    world.envoy.run_for(Duration::from_secs(5));
    assert_eq!(counts(&world), (0, 0, 3));
    world.is_well();
}

#[test]
fn a_wall_clock_that_is_set_evicts_nothing_and_stops_no_snapshot() {
    for (ahead, step) in [
        (false, Duration::from_secs(60)),
        (true, Duration::from_secs(11)),
        (true, Duration::from_secs(60)),
        (false, HOUR),
        (true, HOUR),
    ] {
        let world = gated();
        let (goes, held) = one_goes(&world);
        let now = world.envoy.now();
        world.envoy.set_wall_clock(if ahead { now + step } else { now - step });
        // The scraper lives on the same machine, whose clock was set.
        push(&world);
        world.envoy.run_for(Duration::from_secs(5));
        push(&world);
        assert!(held.iter().all(|it| it.status().is_none()), "evicted by {ahead} {step:?}");
        assert_eq!(counts(&world), (1, 2, 3));
        goes.respond(200, &[] as &[(&str, &str)], b"{}");
        world.envoy.run_for(Duration::from_millis(100));
        assert_eq!(held.iter().filter(|it| it.sent().is_some()).count(), 1);
        world.envoy.run_for(Duration::from_secs(5));
        assert!(held.iter().any(|it| it.status() == Some(429)), "ten seconds are ten seconds");
        world.is_well();
    }
}

#[test]
fn a_gateway_whose_clock_alone_is_set_takes_the_scraper_by_its_uptime() {
    let world = World::new();
    push(&world);
    let now = world.envoy.now();
    for set in [now - HOUR, now + HOUR] {
        let told = next(&world);
        world.envoy.set_wall_clock(set);
        let stream = world.ingest(0, &told.headers(), &told.body);
        assert_eq!(stream.status(), Some(204), "{:?}", stream.response());
        let again = world.ingest(1, &told.headers(), &told.body);
        assert_eq!(again.status(), Some(409), "a recorded one");
        world.envoy.set_wall_clock(now);
    }
}

/// All workers read one clock, also one whose VM is much younger than the others'.
#[test]
fn a_young_worker_reads_the_clock_of_the_old_ones() {
    let world = gated();
    push(&world);
    world.envoy.run_for(Duration::from_secs(15));
    world.envoy.worker(3).kill();
    world.envoy.run_for(Duration::from_secs(2));
    push(&world);
    let (first, [second, third]) =
        (world.chat(0, "first"), [world.chat(3, "second"), world.chat(1, "third")]);
    world.envoy.run_for(Duration::from_secs(5));
    assert!(first.sent().is_some() && second.status().is_none() && third.status().is_none());
    world.envoy.run_for(Duration::from_secs(6));
    assert_eq!([second.status(), third.status()], [Some(429); 2]);
}
