//! A pool that has no endpoints: it may come back, as one does that scales from zero.

use serde_json::json;

use super::{script::tell, world::gated};

#[test]
fn a_pool_that_comes_back_finds_them_waiting() {
    let world = gated(&json!({"noEndpointRequestTTL": "30s"}));
    tell(
        &world,
        "
        0 pods
        0 asks a
        3 asks b
        count => (2, 0, 0)
        29 s pass
        1 pods => a goes
        a ends => b goes
        b ends
        count => (0, 0, 0)
        ",
    );
    world.is_well();
}

#[test]
fn one_that_does_not_is_given_up() {
    let world = gated(&json!({"noEndpointRequestTTL": "10s"}));
    tell(
        &world,
        "
        0 pods
        0 asks a
        3 asks b
        9997 ms pass
        22 ms pass => a rejected-no-endpoints, b rejected-no-endpoints
        count => (0, 0, 0)
        ",
    );
    world.is_well();
}

/// The budget counts from when the pool became empty, and the one for a pool that serves from when it came back.
#[test]
fn a_pool_that_empties_under_those_who_wait() {
    let flow = json!({"defaultRequestTTL": "5s", "noEndpointRequestTTL": "10s"});
    let world = gated(&flow);
    tell(
        &world,
        "
        1 pods
        0 asks a => a goes
        1 asks b
        4 s pass
        0 pods
        9 s pass
        1 pods
        4 s pass
        a ends => b goes
        b ends
        count => (0, 0, 0)
        ",
    );
    world.is_well();
}

/// Nobody knows whether there is a pool: that is not worth waiting for.
#[test]
fn before_the_first_snapshot_nobody_waits() {
    let world = gated(&json!({}));
    tell(&world, "0 asks a => a rejected-no-endpoints\n count => (0, 0, 0)");
    world.is_well();
}

/// The place was granted on a pod that is gone when the word of it arrives: b waits on, as long as
/// an empty pool is waited for, and is before c, which came later.
#[test]
fn the_pool_empties_between_grant_and_resume() {
    let flow = json!({"defaultRequestTTL": "5s", "noEndpointRequestTTL": "10s"});
    let world = gated(&flow);
    tell(
        &world,
        "
        1 pods
        0 asks a => a goes
        1 asks x
        x leaves
        2 asks b
        nobody hears
        a ends
        one hears
        count => (1, 1, 0)
        0 pods
        all hear
        count => (1, 0, 0)
        3 asks c
        9 s pass
        1 pods => b goes
        4 s pass
        b ends => c goes
        c ends
        count => (0, 0, 0)
        ",
    );
    world.is_well();
}

/// And no longer than that.
#[test]
fn the_pool_empties_between_grant_and_resume_for_good() {
    let world = gated(&json!({"noEndpointRequestTTL": "10s"}));
    tell(
        &world,
        "
        1 pods
        0 asks a => a goes
        1 asks x
        x leaves
        2 asks b
        nobody hears
        a ends
        one hears
        0 pods
        all hear
        9900 ms pass
        count => (1, 0, 0)
        130 ms pass => b rejected-no-endpoints
        count => (0, 0, 0)
        ",
    );
    world.is_well();
}
