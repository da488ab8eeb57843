//! The configuration changes while requests wait: the VMs live on, with a new root context.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use host_mock::{FailPolicy, Plugin};
use serde_json::{Value, json};

use super::{
    script::Script,
    world::{counts, gated, plugins_with, shows_no_queue},
};
use crate::mock::world::World;

fn update(world: &World, capacity: u32, ttl: &str) {
    let detector =
        json!({"type": "concurrency-detector", "parameters": {"maxConcurrency": capacity}});
    reconfigure(
        world,
        &json!({
            "featureGates": ["flowControl"],
            "plugins": plugins_with(&detector, &[]),
            "flowControl": {
                "saturationDetector": {"pluginRef": "concurrency-detector"},
                "defaultRequestTTL": ttl,
            },
        }),
    );
}

fn reconfigure(world: &World, config: &Value) {
    let plugin = Plugin::new("picker", config.to_string())
        .allow_on_headers_stop_iteration(true)
        .fail_policy(FailPolicy::Reload);
    world.envoy.reconfigure(plugin).unwrap();
}

fn play(script: &mut Script<'_>, lines: &[&str]) -> String {
    let played = lines.iter().map(|line| format!("{line} => {}", script.play(line)));
    played.map(|line| line.trim_end_matches(" => ").to_owned()).collect::<Vec<_>>().join("\n")
}

/// Those who wait came by the old root context, those who ask now come by the new one.
#[test]
fn those_who_wait_wait_on() {
    let world = gated(&json!({}));
    let mut script = Script::new(&world);
    play(&mut script, &["1 pods", "0 asks a", "1 asks b", "2 asks c"]);
    update(&world, 1, "60s");
    let same = ["3 asks d", "count", "500 ms pass", "a ends", "b ends", "c ends", "count"];
    insta::assert_snapshot!(play(&mut script, &same), @"
    3 asks d
    count => (3, 0, 1)
    500 ms pass
    a ends => b goes
    b ends => c goes
    c ends => d goes
    count => (0, 0, 1)
    ");
    update(&world, 2, "60s");
    let wider = ["0 asks e f", "d ends", "61 s pass", "e ends", "f ends", "count"];
    insta::assert_snapshot!(play(&mut script, &wider), @"
    0 asks e f => e goes
    d ends => f goes
    61 s pass
    e ends
    f ends
    count => (0, 0, 0)
    ");
    world.is_well();
}

/// The arbiter begins anew by the new rules; the tickets are handed in again when its lease is over.
#[test]
fn new_rules_hold_for_those_who_wait() {
    let world = gated(&json!({}));
    let mut script = Script::new(&world);
    play(&mut script, &["1 pods", "0 asks a", "1 asks b", "1 asks c"]);
    update(&world, 1, "2s");
    let lines = ["a ends", "250 ms pass", "1700 ms pass", "80 ms pass", "b ends", "count"];
    insta::assert_snapshot!(play(&mut script, &lines), @"
    a ends
    250 ms pass => b goes
    1700 ms pass
    80 ms pass => c rejected-ttl-expired
    b ends
    count => (0, 0, 0)
    ");
    world.is_well();
}

/// More than go at a time wait, on two workers, and a client leaves: all go, past the limit that is none any more.
#[test]
fn flow_control_that_is_turned_off_lets_all_go() {
    let world = gated(&json!({}));
    let mut script = Script::new(&world);
    play(&mut script, &["1 pods", "0 asks a", "1 asks b", "2 asks c d e", "d leaves"]);
    let crowd: Vec<String> = (0..100).map(|number| format!("m{number}")).collect();
    script.play(&format!("1 asks {}", crowd.join(" ")));
    assert_eq!(counts(&world), (103, 0, 1));
    reconfigure(&world, &json!({}));
    assert_eq!(script.play("3 asks f"), "f goes", "a request that comes now waits for none");
    script.play("100 ms pass");
    assert_eq!(counts(&world), (0, 0, 105));
    for name in ["a", "b", "c", "e", "f"].into_iter().chain(crowd.iter().map(String::as_str)) {
        assert!(script.stream(name).sent().is_some(), "{name} waits");
        script.play(&format!("{name} ends"));
    }
    script.play("2 s pass");
    assert_eq!(counts(&world), (0, 0, 0));
    assert!(shows_no_queue(&world));
    world.is_well();
}

/// And on again, before any clock has ticked: those who wait are served by the new rules.
#[test]
fn turned_off_and_on_it_holds_those_who_wait() {
    let world = gated(&json!({}));
    let mut script = Script::new(&world);
    play(&mut script, &["1 pods", "0 asks a", "1 asks b", "2 asks c"]);
    reconfigure(&world, &json!({}));
    update(&world, 1, "60s");
    let lines = ["300 ms pass", "a ends", "b ends", "c ends", "count"];
    insta::assert_snapshot!(play(&mut script, &lines), @"
    300 ms pass
    a ends => b goes
    b ends => c goes
    c ends
    count => (0, 0, 0)
    ");
    world.is_well();
}
