//! Snapshots that are fetched: by whom, how often, and what becomes of a bad one.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use host_mock::{HttpCall, Level, Plugin};
use serde_json::{Value, json};

use super::{
    push::{Pod, Push},
    world::{WORKERS, Way, World, about},
};

fn pulling(pull: Value) -> World {
    World::with(Way::STOP_ITERATION_HEADER, &json!({"pull": pull}))
}

fn world() -> World {
    let world = pulling(json!({"cluster": "outbound|9091||scraper.llm-d.svc.cluster.local"}));
    assert_eq!(world.envoy.http_calls().len(), 0, "not before the first tick");
    second(&world);
    world
}

fn second(world: &World) {
    world.envoy.run_for(Duration::from_secs(1));
}

/// The only request that waits for an answer.
#[track_caller]
fn only(world: &World) -> HttpCall {
    let calls = world.envoy.http_calls();
    assert_eq!(calls.len(), 1, "{calls:?}");
    calls.into_iter().next().unwrap()
}

/// Answers it with this snapshot.
fn answer(world: &World, call: &HttpCall, push: &Push) {
    world.envoy.answer(call.token, 200, push.headers().as_slice(), &push.body);
}

#[test]
fn one_worker_asks_for_all_and_asks_on() {
    let world = world();
    let call = only(&world);
    let lines: Vec<_> = [":method", ":path", ":authority", "prefer", "if-none-match"]
        .map(|name| format!("{name}: {:?}", call.headers.text(name)))
        .into();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    :method: Some("POST")
    :path: Some("/v1/pools/default/snapshot")
    :authority: Some("scraper.llm-d.svc.cluster.local")
    prefer: Some("wait=1")
    if-none-match: None
    "#);
    let push = world.push(&Pod::idles(1));
    answer(&world, &call, &push);
    for worker in 0..WORKERS {
        assert_eq!(world.pod(&world.chat(worker, &about("rivers"))).number, 1);
    }
    let next = only(&world);
    let tag = format!("\"{}-{}\"", push.time, push.sequence);
    assert_eq!(next.headers.text("if-none-match"), Some(&*tag), "at once, for what is newer");
    answer(&world, &next, &world.push(&[Pod::idle(7)]));
    assert_eq!(world.pod(&world.chat(3, &about("stars"))).number, 7);
    for _ in 0..10 {
        second(&world);
        world.envoy.answer(only(&world).token, 304, (), b"");
    }
    world.is_well();
}

#[test]
fn another_worker_takes_over_from_a_dead_one() {
    let world = world();
    let call = only(&world);
    answer(&world, &call, &world.push(&Pod::idles(1)));
    let late = only(&world);
    assert_eq!(late.worker, call.worker, "the lease is held");
    // The main thread's VM fetches as well as any.
    let holder = match call.worker {
        WORKERS => world.envoy.main_thread(),
        worker => world.envoy.worker(worker),
    };
    holder.kill();
    for _ in 0..3 {
        second(&world);
    }
    world.envoy.answer(late.token, 304, (), b"");
    second(&world);
    let next = only(&world);
    assert_ne!(next.worker, call.worker);
    answer(&world, &next, &world.push(&[Pod::idle(2)]));
    let alive = (0..WORKERS).find(|worker| *worker != call.worker).unwrap();
    assert_eq!(world.pod(&world.chat(alive, "hello")).number, 2);
}

#[test]
fn what_fails_is_told_once_and_tried_again() {
    let world = world();
    let warnings = || {
        let logs = world.envoy.logs();
        let warned = logs.into_iter().filter(|line| line.level == Level::Warn);
        warned.map(|line| line.message).collect::<Vec<_>>()
    };
    let good = world.push(&Pod::idles(1));
    let forged = Push { secret: "another key of thirty-two bytes", ..good.clone() };
    let garbage = Push { body: b"LPS".to_vec(), ..good.clone() };
    let large = Push { body: vec![0; 5 << 20], ..good.clone() };
    let wait = || {
        (0..10).find(|_| {
            second(&world);
            !world.envoy.http_calls().is_empty()
        })
    };
    for _ in 0..2 {
        world.envoy.answer(only(&world).token, 503, (), b"no healthy upstream");
        assert!(world.envoy.http_calls().is_empty(), "not at once");
        wait().unwrap();
    }
    world.envoy.reset_call(only(&world).token);
    wait().unwrap();
    // Nobody answers until Envoy does.
    for _ in 0..3 {
        second(&world);
    }
    for push in [&forged, &garbage, &large] {
        wait();
        answer(&world, &only(&world), push);
    }
    wait().unwrap();
    insta::assert_snapshot!(warnings().join("\n"), @"
    failed to fetch the snapshot of pool default: answered 503
    failed to fetch the snapshot of pool default: no answer: the connection was reset
    failed to fetch the snapshot of pool default: answered 504
    failed to fetch the snapshot of pool default: the signature does not match
    failed to fetch the snapshot of pool default: cannot read the snapshot: cut off or not decodable
    failed to fetch the snapshot of pool default: found a snapshot of over 4194304 bytes; see pull.maxBytes
    ");
    answer(&world, &only(&world), &world.push(&Pod::idles(1)));
    assert_eq!(world.pod(&world.chat(2, "hello")).number, 1, "it is back");
    world.is_well();
}

#[test]
fn a_new_configuration_goes_on_where_the_old_one_was() {
    let world = world();
    let call = only(&world);
    let with = |pull: Value| {
        let config = json!({"decisionHeader": true, "pull": pull}).to_string();
        world.envoy.reconfigure(Plugin::new("picker", config)).unwrap();
    };
    with(json!({"cluster": "scraper", "path": "/mine"}));
    second(&world);
    answer(&world, &call, &world.push(&Pod::idles(1)));
    let next = only(&world);
    assert_eq!(next.headers.text(":path"), Some("/mine"), "the old instance asks as the new one");
    with(Value::Null);
    answer(&world, &next, &world.push(&Pod::idles(2)));
    for _ in 0..10 {
        second(&world);
    }
    assert!(world.envoy.http_calls().is_empty(), "nobody wants it any more");
    world.is_well();
}

#[test]
fn a_cluster_that_is_not_there_is_named() {
    let world = pulling(json!({"cluster": "scrapper"}));
    for _ in 0..10 {
        second(&world);
    }
    let logs = world.envoy.logs();
    let told: Vec<_> = logs.iter().filter(|line| line.message.contains("scrapper")).collect();
    // Each worker finds out once, when it is its turn.
    assert!((1..=WORKERS + 1).contains(&told.len()), "{told:?}");
    world.is_well();
}
