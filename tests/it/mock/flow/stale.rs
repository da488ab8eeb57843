//! Snapshots stop coming: the ledger carries on.

use serde_json::{Value, json};

use super::{script::tell, world::gated_by};

fn utilization(parameters: &Value) -> Value {
    json!({"type": "utilization-detector", "parameters": parameters})
}

#[test]
fn dispatch_goes_on_by_the_ledger() {
    let world = gated_by(&utilization(&json!({"queueDepthThreshold": 2})), &[], &json!({}));
    tell(
        &world,
        "
        1 pods
        30 s pass
        0 asks a => a goes
        1 asks b => b goes
        2 asks c
        3 asks d
        10 s pass
        a ends => c goes
        b ends => d goes
        c ends
        d ends
        count => (0, 0, 0)
        ",
    );
    world.is_well();
}

/// The EPP's own way, for whoever wants it.
#[test]
fn or_stops_if_so_configured() {
    let parameters = json!({"queueDepthThreshold": 2, "stalenessPolicy": "saturated"});
    let world = gated_by(&utilization(&parameters), &[], &json!({}));
    tell(
        &world,
        "
        1 pods
        0 asks a => a goes
        30 s pass
        1 asks b
        a ends
        10 s pass
        1 pods => b goes
        ",
    );
    world.is_well();
}
