//! A pool goes out of the configuration, or comes back to an earlier one, while requests of it wait or run.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use host_mock::{FailPolicy, Plugin};
use serde_json::{Value, json};

use super::{
    script::Script,
    world::{counts, gated},
};
use crate::mock::world::{WORKERS, World};

/// A way in which the pool `default` goes out of the configuration.
type Removal = fn(&World);

const REMOVALS: [Removal; 3] = [rename, replace, remove_plugin];

/// Ways in which only later requests are not the pool's, or not by this configuration.
const CHANGES: [Removal; 2] = [move_route, refuse];

/// The pool stays, for requests that do not come.
fn move_route(world: &World) {
    let mut pool = world.config.clone();
    pool.as_object_mut()
        .unwrap()
        .retain(|key, _| !["decisionHeader", "envoy"].contains(&key.as_str()));
    let pools = json!([
        {"name": "default", "match": {"host": "elsewhere"}, "config": pool},
        {"name": "others"},
    ]);
    reconfigure(world, &json!({"pools": pools}));
}

/// The next configuration is none.
fn refuse(world: &World) {
    reconfigure(world, &json!({"pools": 7}));
}

/// Another name for the pool.
fn rename(world: &World) {
    reconfigure(world, &json!({"pools": [{"name": "renamed"}]}));
}

/// Another pool for all requests, and none that the old one's would be for.
fn replace(world: &World) {
    reconfigure(world, &json!({"pools": [{"name": "others", "match": {"host": "elsewhere"}}]}));
}

fn remove_plugin(world: &World) {
    world.envoy.remove("picker");
}

fn reconfigure(world: &World, config: &Value) {
    let plugin = Plugin::new("picker", config.to_string())
        .allow_on_headers_stop_iteration(true)
        .fail_policy(FailPolicy::Reload);
    world.envoy.reconfigure(plugin).unwrap();
}

fn play(script: &mut Script<'_>, lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| script.play(line)).collect()
}

/// The arbiter's worker has no request any more when its instance goes.
#[test]
fn those_who_wait_are_served_or_answered_in_time() {
    for removal in REMOVALS.into_iter().chain(CHANGES) {
        let world = gated(&json!({"defaultRequestTTL": "3s"}));
        let mut script = Script::new(&world);
        play(&mut script, &["1 pods", "3 asks a", "0 asks b", "1 asks c", "2 asks d", "b leaves"]);
        assert_eq!(counts(&world), (2, 0, 1));
        removal(&world);
        world.envoy.end_old_instances();
        assert_eq!(play(&mut script, &["300 ms pass", "a ends"]), ["", "c goes"]);
        assert_eq!(script.play("3 s pass"), "d rejected-ttl-expired");
        script.play("c ends");
        world.envoy.end_old_instances();
        assert_eq!(counts(&world), (0, 0, 0));
        every_vm_lives(&world);
    }
}

/// With no instance left, nothing else would take the counts of a dead worker back.
#[test]
fn counts_of_a_dead_worker_are_taken_back() {
    for removal in REMOVALS.into_iter().chain(CHANGES) {
        let world = gated(&json!({}));
        let mut script = Script::new(&world);
        play(&mut script, &["1 pods", "3 asks a", "0 asks b", "1 asks c", "b leaves"]);
        removal(&world);
        world.envoy.end_old_instances();
        play(&mut script, &["3 dies", "c leaves"]);
        world.envoy.end_old_instances();
        assert_eq!(counts(&world), (0, 0, 1));
        script.play("5 s pass");
        assert_eq!(counts(&world), (0, 0, 0));
    }
}

/// Nothing of it is left but counters, whatever still serves.
#[test]
fn its_keys_are_emptied() {
    for removal in REMOVALS {
        let world = gated(&json!({}));
        let mut script = Script::new(&world);
        play(&mut script, &["1 pods", "3 asks a", "1 asks c", "a ends", "c ends"]);
        removal(&world);
        world.envoy.end_old_instances();
        world.envoy.run_for(Duration::from_secs(15));
        let left = |what: &str| {
            let key = wire::layout::key("default", what);
            world.envoy.shared_data(&key).unwrap_or_default().len()
        };
        assert_eq!(["snapshot", "note/0", "ledger"].map(left), [0, 0, 80]);
        world.is_well();
    }
}

/// Envoy takes the earlier instance up again without telling it, and ends the later one, which had been the last to be
/// configured.
#[test]
fn a_rollback_serves_those_who_wait_by_the_rules_of_before() {
    let world = gated(&json!({}));
    let before = &world.config;
    let mut script = Script::new(&world);
    play(&mut script, &["1 pods", "3 asks a", "0 asks b"]);
    let mut wider = before.clone();
    let capacity = wider.pointer_mut("/plugins/3/parameters/maxConcurrency").unwrap();
    *capacity = json!(2);
    reconfigure(&world, &wider);
    assert_eq!(script.play("300 ms pass"), "b goes");
    reconfigure(&world, before);
    world.envoy.end_old_instances();
    // Workers but the arbiter's have no one but it to hear from.
    let asked = play(&mut script, &["0 asks c", "1 asks d", "2 asks e", "a ends"]);
    assert_eq!(asked, ["", "", "", ""], "b is one too many already");
    assert_eq!(
        play(&mut script, &["b ends", "c ends", "d ends", "e ends"]),
        ["c goes", "d goes", "e goes", ""]
    );
    assert_eq!(counts(&world), (0, 0, 0));
    world.is_well();
}

fn every_vm_lives(world: &World) {
    for worker in 0..WORKERS {
        assert!(world.envoy.worker(worker).alive());
    }
}
