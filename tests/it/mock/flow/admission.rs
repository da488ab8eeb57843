//! The gate is off: nobody waits, and only what may be shed is shed (EPP: legacy admission).

use serde_json::json;

use super::{
    script::tell,
    world::{objectives, plugins_with},
};
use crate::mock::world::{Way, World};

fn ungated() -> World {
    let detector = json!({"type": "concurrency-detector", "parameters": {"maxConcurrency": 1}});
    let keys = json!({
        "plugins": plugins_with(&detector, &[]),
        "schedulingProfiles": [{"name": "default", "plugins": [{"pluginRef": "queue-scorer"}]}],
        "saturationDetector": {"pluginRef": "concurrency-detector"},
        "objectives": objectives(),
    });
    World::with(Way::STOP_ITERATION_HEADER, &keys)
}

#[test]
fn below_zero_is_shed_when_saturated() {
    let world = ungated();
    tell(
        &world,
        "
        2 pods
        0 asks a as batch => a goes
        1 asks b as low => b goes
        2 asks c as batch => c 429
        3 asks d => d goes
        0 asks e as high => e goes
        count => (0, 0, 4)
        a ends
        b ends
        1 asks f as batch => f 429
        d ends
        1 asks g as batch => g goes
        e ends
        g ends
        count => (0, 0, 0)
        ",
    );
    world.is_well();
}

#[test]
fn an_empty_pool_is_not_waited_for() {
    let world = ungated();
    tell(
        &world,
        "
        0 asks a => a rejected-no-endpoints
        0 pods
        1 asks b as batch => b rejected-no-endpoints
        2 asks c as high => c rejected-no-endpoints
        ",
    );
    world.is_well();
}
