//! A configuration that comes back while the listener of the one after it drains. Envoy takes up its instance
//! again without a word, and only the connections of its streams tell.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use host_mock::{Envoy, FailPolicy, Metric, Plugin};
use serde_json::{Value, json};

use super::{
    flow::{
        script::Script,
        world::{counts, gated},
    },
    push::Pod,
    world::{CHAT, WORKERS, World, about, builder, chat_body},
};

const NONE: &[(&str, &str)] = &[];

const BAD: &str = r#"{"plugins": [{"type": "queu-scorer"}]}"#;

/// Long enough for a new listener to count as in use, and for a fault that nothing says any more to be forgotten.
const SETTLED: Duration = Duration::from_secs(8);

fn picker(config: &str) -> Plugin {
    Plugin::new("picker", config)
        .allow_on_headers_stop_iteration(true)
        .fail_policy(FailPolicy::Reload)
}

/// Has Envoy go by this configuration. If it did so before, its instances hear nothing.
fn configure(envoy: &Envoy, config: &str) {
    envoy.reconfigure(picker(config)).unwrap();
}

/// Sends a request by the connection of this number.
fn ask(envoy: &Envoy, worker: usize, connection: u64) {
    envoy.set_property("connection.id", connection.to_le_bytes());
    let stream = envoy.worker(worker).post(CHAT, NONE, &chat_body("hello"));
    if stream.sent().is_some() {
        stream.respond(200, NONE, b"{}");
    }
}

fn is_ok(envoy: &Envoy) -> bool {
    envoy.metric("llm_picker_config_ok") == Some(Metric::Gauge(1))
}

fn every_vm_lives(envoy: &Envoy) {
    assert!((0..WORKERS).all(|worker| envoy.worker(worker).alive()));
    assert!(envoy.main_thread().alive());
}

#[test]
fn the_gauge_tells_of_the_newest_configuration() {
    for (first, second) in [("{}", BAD), (BAD, "{}")] {
        let envoy = builder().plugin(picker(first)).start().unwrap();
        ask(&envoy, 1, 10);
        for round in 1..4 {
            configure(&envoy, second);
            ask(&envoy, 1, 20 * round);
            envoy.run_for(SETTLED);
            assert_eq!(is_ok(&envoy), second == "{}", "{second} is in use: {round}");

            configure(&envoy, first);
            ask(&envoy, 2, 20 * round + 1);
            envoy.run_for(SETTLED);
            assert_eq!(is_ok(&envoy), first == "{}", "{first} is in use again: {round}");
        }
        envoy.run_for(2 * SETTLED);
        assert_eq!(is_ok(&envoy), first == "{}", "whatever drains");
        envoy.end_old_instances();
        envoy.run_for(SETTLED);
        assert_eq!(is_ok(&envoy), first == "{}");
        every_vm_lives(&envoy);
    }
}

/// A connection that is older than the new listener is served by the old one until that has drained.
#[test]
fn requests_by_old_connections_say_nothing() {
    let envoy = builder().plugin(picker("{}")).start().unwrap();
    ask(&envoy, 0, 10);
    configure(&envoy, BAD);
    let by_the_old_one = |worker: usize, connection: u64| {
        configure(&envoy, "{}");
        ask(&envoy, worker, connection);
        configure(&envoy, BAD);
    };
    // Accepted while the new listener is not in use yet.
    by_the_old_one(0, 11);
    envoy.run_for(SETTLED);
    assert!(!is_ok(&envoy));
    by_the_old_one(1, 11);
    ask(&envoy, 2, 13);
    envoy.run_for(SETTLED);
    // Accepted as early, and used for the first time now.
    by_the_old_one(1, 12);
    for _ in 0..20 {
        envoy.run_for(Duration::from_millis(500));
        assert!(!is_ok(&envoy));
    }
    // HTTP/3 numbers its connections by chance.
    by_the_old_one(1, u64::MAX - 1);
    envoy.run_for(SETTLED);
    assert!(!is_ok(&envoy));
    // Without any number, nothing is known.
    envoy.set_property("connection.id", b"");
    by_the_old_one(3, 0);
    envoy.run_for(SETTLED);
    assert!(!is_ok(&envoy));
    every_vm_lives(&envoy);
}

/// A listener that waits for what it discovers is in use later than the plugin believes.
#[test]
fn a_listener_that_is_late_is_found_by_its_own_requests() {
    let envoy = builder().plugin(picker("{}")).start().unwrap();
    configure(&envoy, BAD);
    configure(&envoy, "{}");
    envoy.run_for(SETTLED);
    ask(&envoy, 0, 10);
    envoy.run_for(SETTLED);
    assert!(is_ok(&envoy), "the old one still takes connections");
    configure(&envoy, BAD);
    ask(&envoy, 3, 11);
    envoy.run_for(Duration::from_secs(2));
    assert!(!is_ok(&envoy));
    every_vm_lives(&envoy);
}

/// What was rolled back is no good one to go on with.
#[test]
fn the_last_good_one_is_the_one_that_came_back() {
    let world = World::new();
    world.pods(&[Pod::idle(1)]);
    let first = world.config.to_string();
    let other = json!({"failureMode": "FailOpen"}).to_string();
    configure(&world.envoy, &other);
    ask(&world.envoy, 0, 1);
    world.envoy.run_for(SETTLED);
    configure(&world.envoy, &first);
    ask(&world.envoy, 0, 2);
    world.envoy.run_for(SETTLED);
    configure(&world.envoy, BAD);
    world.pods(&[Pod::idle(2)]);
    for worker in 0..WORKERS {
        let stream = world.chat(worker, &about("rivers"));
        assert!(World::decision(&stream).starts_with("endpoint="), "as the first one has it");
    }
    every_vm_lives(&world.envoy);
}

fn with_capacity(config: &Value, requests: u32) -> String {
    let mut config = config.clone();
    *config.pointer_mut("/plugins/3/parameters/maxConcurrency").unwrap() = json!(requests);
    config.to_string()
}

/// As soon as new connections come, and not when the later one has drained.
#[test]
fn pools_go_by_the_one_that_came_back() {
    let world = gated(&json!({}));
    let mut script = Script::new(&world);
    let mut play = |lines: &[&str]| lines.iter().map(|line| script.play(line)).collect::<Vec<_>>();
    play(&["1 pods", "3 asks a", "0 asks b"]);
    configure(&world.envoy, &with_capacity(&world.config, 2));
    assert_eq!(play(&["300 ms pass"]), ["b goes"]);
    world.envoy.set_property("connection.id", 10_u64.to_le_bytes());
    assert_eq!(play(&["0 asks c", "a ends", "4 s pass"]), ["", "c goes", ""]);
    world.envoy.reconfigure(picker(&world.config.to_string())).unwrap();
    world.envoy.set_property("connection.id", 11_u64.to_le_bytes());
    assert_eq!(play(&["1 asks d", "2 s pass", "b ends", "1 s pass"]), ["", "", "", ""]);
    assert_eq!(play(&["c ends", "d ends"]), ["d goes", ""]);
    assert_eq!(counts(&world), (0, 0, 0));
    world.is_well();
}
