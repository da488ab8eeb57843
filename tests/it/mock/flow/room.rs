//! The pool has room, and some of its pods have none.

use serde_json::{Value, json};

use super::world::plugins_with;
use crate::mock::{
    push::Pod,
    world::{Way, World, about},
};

/// Pods that take one request each, chosen by what they have cached, under these feature gates.
fn sticky(gates: &[&str], profile: &[&str]) -> World {
    let detector = json!({"type": "concurrency-detector", "parameters": {"maxConcurrency": 1}});
    let named: Vec<Value> = profile.iter().map(|name| json!({"pluginRef": name})).collect();
    let section = json!({"saturationDetector": {"pluginRef": "concurrency-detector"}});
    let keys = json!({
        "featureGates": gates,
        "plugins": plugins_with(&detector, &[json!({"type": "prefix-cache-scorer"})]),
        "schedulingProfiles": [{"name": "default", "plugins": named}],
        "flowControl": section,
    });
    let world = World::with(Way::STOP_ITERATION_HEADER, &keys);
    world.pods(&Pod::idles(2));
    world
}

/// Whether a prompt goes to the pod that is still busy with the same one.
fn follows(world: &World) -> bool {
    let pod = |worker| world.pod(&world.chat(worker, &about("ants"))).number;
    let first = pod(0);
    pod(1) == first
}

#[test]
fn a_full_pod_is_left_out_whatever_it_has_cached() {
    let world = sticky(&["flowControl"], &["prefix-cache-scorer"]);
    assert!(!follows(&world));
    world.is_well();
}

#[test]
fn without_flow_control_no_pod_is_full_but_by_a_profile_s_own_word() {
    assert!(follows(&sticky(&[], &["prefix-cache-scorer"])));
    assert!(!follows(&sticky(&[], &["concurrency-detector", "prefix-cache-scorer"])));
}

/// A pool whose pods are all full keeps all of them: who was let go is sent.
#[test]
fn where_all_are_full_all_are_kept() {
    let world = sticky(&[], &["concurrency-detector", "prefix-cache-scorer"]);
    let stream = |topic: &str| world.chat(0, &about(topic));
    let busy = [stream("ants"), stream("bees")];
    let more = stream("ants");
    assert_eq!(world.pod(&more).number, world.pod(&busy[0]).number);
}
