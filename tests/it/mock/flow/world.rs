//! A pool with little room, whose ledger the story can read.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use picker_core::ledger::Ledger;
use serde_json::{Value, json};
use wire::layout::key;

use crate::mock::world::{Way, World};

/// What each pod takes at once.
const PER_POD: u32 = 1;

/// The pool's room is one request a pod, by the ledger alone: so each step of a story is exact.
pub(in crate::mock) fn gated(flow: &Value) -> World {
    gated_with(&[], flow)
}

/// The same with more entries in `plugins`.
pub(in crate::mock) fn gated_with(plugins: &[Value], flow: &Value) -> World {
    let detector =
        json!({"type": "concurrency-detector", "parameters": {"maxConcurrency": PER_POD}});
    gated_by(&detector, plugins, flow)
}

/// A pool whose room is what this detector says.
pub(in crate::mock) fn gated_by(detector: &Value, plugins: &[Value], flow: &Value) -> World {
    let mut section = json!({"saturationDetector": {"pluginRef": detector["type"]}});
    section.as_object_mut().unwrap().extend(flow.as_object().unwrap().clone());
    let keys = json!({
        "featureGates": ["flowControl"],
        "plugins": plugins_with(detector, plugins),
        "schedulingProfiles": [{"name": "default", "plugins": [{"pluginRef": "queue-scorer"}]}],
        "flowControl": section,
        "objectives": objectives(),
    });
    World::with(Way::STOP_ITERATION_HEADER, &keys)
}

/// Three classes: with priority 0 there are four bands.
pub(super) fn objectives() -> Value {
    json!([
        {"name": "high", "priority": 100},
        {"name": "low", "priority": 10},
        {"name": "batch", "priority": -1}
    ])
}

/// The plugins of a scheduling profile, and more.
pub(super) fn plugins_with(detector: &Value, more: &[Value]) -> Vec<Value> {
    let scheduling = ["queue-scorer", "max-score-picker", "single-profile-handler"];
    let scheduling = scheduling.map(|name| json!({"type": name}));
    scheduling.into_iter().chain([detector.clone()]).chain(more.iter().cloned()).collect()
}

/// What the workers agree on.
pub(super) fn ledger(world: &World) -> Ledger {
    let bytes = world.envoy.shared_data(&key("default", "ledger"));
    wire::ledger::decode(&bytes.unwrap_or_default())
}

/// Whether a report would say that no request waits.
pub(super) fn shows_no_queue(world: &World) -> bool {
    let bytes = world.envoy.shared_data(&key("default", "queues")).unwrap_or_default();
    let flows = wire::queues::decode(&bytes).unwrap_or_default().flows;
    ledger(world).waiting == 0 || flows.is_empty()
}

/// Waiting, granted, in flight.
pub(in crate::mock) fn counts(world: &World) -> (u32, u32, u64) {
    let ledger = ledger(world);
    (ledger.waiting, ledger.granted, ledger.accounts.requests())
}
