//! Objectives that only the snapshot knows.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use host_mock::Stream;
use serde_json::json;

use super::{
    push::{Pod, Push},
    world::{WORKERS, Way, World},
};

const OBJECTIVE: &str = "x-llm-d-inference-objective";

/// Has a worker take a push of one pod and these objectives.
fn snapshot(world: &World, objectives: &[(&str, i32)]) {
    let pods = [Pod::idle(1)];
    let push = Push { body: Push::with_objectives(&pods, objectives).body, ..world.push(&pods) };
    let stream = world.ingest(0, &push.headers(), &push.body);
    assert_eq!(stream.status(), Some(204), "{:?}", stream.response());
}

/// A request; those that come later are later by the clock.
fn ask(world: &World, worker: usize, objective: &str) -> Stream {
    let stream = world.chat_with(worker, &[(OBJECTIVE, objective)], "hello");
    world.envoy.run_for(Duration::from_millis(1));
    stream
}

/// Has a request end; what its decision header said of the priority.
fn end(world: &World, stream: &Stream) -> String {
    let decision = World::decision(stream);
    world.envoy.pump();
    decision.split_once("priority=").unwrap().1.to_owned()
}

/// What every worker says of the priority.
fn priority(world: &World, objective: &str) -> String {
    let say = |worker| end(world, &ask(world, worker, objective));
    let first = say(0);
    assert!((1..WORKERS).all(|worker| say(worker) == first), "not on all workers {first}");
    first
}

#[test]
fn an_objective_counts_as_long_as_snapshots_bring_it() {
    let configured = json!([{"name": "paid", "priority": 10}]);
    let world = World::with(Way::STOP_ITERATION_HEADER, &json!({"objectives": configured}));
    snapshot(&world, &[("batch", -5), ("paid", 99)]);
    assert_eq!(priority(&world, "batch"), "-5");
    assert_eq!(priority(&world, "paid"), "10", "the configuration comes first");
    snapshot(&world, &[("batch", 7)]);
    assert_eq!(priority(&world, "batch"), "7");
    snapshot(&world, &[]);
    assert_eq!(priority(&world, "batch"), "0");
    assert_eq!(priority(&world, "paid"), "10");
    world.is_well();
}

/// A pool that takes one request at a time.
fn gated() -> World {
    let detector = json!({"type": "concurrency-detector", "parameters": {"maxConcurrency": 1}});
    let keys = json!({
        "featureGates": ["flowControl"],
        "plugins": [{"type": "queue-scorer"}, detector],
        "flowControl": {"saturationDetector": {"pluginRef": "concurrency-detector"}},
    });
    World::with(Way::STOP_ITERATION_HEADER, &keys)
}

fn waits(stream: &Stream) -> bool {
    stream.sent().is_none() && stream.status().is_none()
}

/// The one who decides has been at it since before the objective came, and heard of it from nobody
/// but the snapshot.
#[test]
fn an_objective_of_the_snapshot_has_a_band_of_its_own() {
    let world = gated();
    snapshot(&world, &[]);
    let first = ask(&world, 0, "urgent");
    let early = ask(&world, 1, "urgent");
    assert!(waits(&early), "there is room for one, and urgent means nothing yet");
    snapshot(&world, &[("urgent", 5)]);
    let urgent = ask(&world, 2, "urgent");
    assert_eq!(end(&world, &first), "0");
    assert!(waits(&early), "urgent goes first");
    assert_eq!(end(&world, &urgent), "5");
    assert_eq!(end(&world, &early), "0", "as it was when it came");

    let first = ask(&world, 0, "-");
    let plain = ask(&world, 1, "-");
    snapshot(&world, &[]);
    let late = ask(&world, 2, "urgent");
    end(&world, &first);
    assert!(waits(&late), "urgent means nothing any more");
    end(&world, &plain);
    assert_eq!(end(&world, &late), "0");
    world.is_well();
}

/// Ticks come once a second while nobody waits, and every 20 ms while somebody does.
const SOME_TICKS: Duration = Duration::from_secs(2);

/// The first to look after the snapshot is a tick, as no request names an objective.
#[test]
fn an_objective_may_come_by_snapshot_between_a_request_and_a_tick() {
    let world = World::new();
    snapshot(&world, &[("urgent", 5)]);
    for worker in 0..WORKERS {
        end(&world, &world.chat(worker, "hello"));
    }
    world.envoy.run_for(SOME_TICKS);
    for objectives in [&[("urgent", 7)] as &[_], &[], &[("batch", -1), ("urgent", 7)]] {
        snapshot(&world, objectives);
        world.envoy.run_for(SOME_TICKS);
        for worker in 0..WORKERS {
            end(&world, &world.chat(worker, "hello"));
        }
        world.envoy.run_for(SOME_TICKS);
    }
    assert_eq!(priority(&world, "urgent"), "7");
    world.is_well();
}

#[test]
fn objectives_may_change_while_requests_are_held() {
    let world = gated();
    snapshot(&world, &[("urgent", 5)]);
    let first = world.chat(0, "hello");
    let held: Vec<Stream> = (0..WORKERS).map(|worker| ask(&world, worker, "urgent")).collect();
    for priority in [6, -1, 7] {
        snapshot(&world, &[("other", priority + 1), ("urgent", priority)]);
        world.envoy.run_for(SOME_TICKS);
        world.is_well();
    }
    assert!(held.iter().all(waits));
    end(&world, &first);
    for _ in 0..held.len() {
        let next = held.iter().find(|it| it.sent().is_some() && !it.is_over()).unwrap();
        assert_eq!(end(&world, next), "5", "as it was when it came");
    }
    world.is_well();
}
