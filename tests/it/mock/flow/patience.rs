//! How long a request waits at most: its time to live and one tick.

use serde_json::json;

use super::{script::tell, world::gated};

#[test]
fn a_minute_by_default() {
    let world = gated(&json!({}));
    tell(
        &world,
        "
        1 pods
        0 asks a => a goes
        1 asks b
        2 asks c
        59997 ms pass
        22 ms pass => b rejected-ttl-expired, c rejected-ttl-expired
        count => (0, 0, 1)
        a ends
        count => (0, 0, 0)
        ",
    );
    world.is_well();
}

#[test]
fn a_band_has_its_own() {
    let high = json!({"priority": 100, "defaultRequestTTL": "2s"});
    let world = gated(&json!({"defaultRequestTTL": "5s", "priorityBands": [high]}));
    tell(
        &world,
        "
        1 pods
        0 asks a => a goes
        1 asks h as high
        1 asks l as low
        1997 ms pass
        22 ms pass => h rejected-ttl-expired
        2979 ms pass
        23 ms pass => l rejected-ttl-expired
        ",
    );
    world.is_well();
}

#[test]
fn a_client_may_have_less_and_never_more() {
    let world = gated(&json!({"defaultRequestTTL": "5s"}));
    tell(
        &world,
        "
        1 pods
        0 asks a => a goes
        1 asks b within 500ms
        2 asks c within 1h
        3 asks d within soon
        3 asks e within 0s
        490 ms pass
        27 ms pass => b rejected-ttl-expired
        4400 ms pass
        100 ms pass => c rejected-ttl-expired, d rejected-ttl-expired, e rejected-ttl-expired
        ",
    );
    world.is_well();
}

#[test]
fn for_ever_if_so_configured() {
    let world = gated(&json!({"defaultRequestTTL": "0s"}));
    tell(
        &world,
        "
        1 pods
        0 asks a => a goes
        1 asks b
        2 asks c within 1s
        1100 ms pass => c rejected-ttl-expired
        280 s pass
        a ends => b goes
        ",
    );
    world.is_well();
}
