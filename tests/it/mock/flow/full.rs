//! Queues with limits, and what happens to whom they have no room for.

use serde_json::json;

use super::{script::tell, world::gated};

#[test]
fn a_band_is_full() {
    let low = json!({"priority": 10, "maxRequests": 2});
    let world = gated(&json!({"priorityBands": [low]}));
    tell(
        &world,
        "
        1 pods
        0 asks a => a goes
        1 asks l1 as low
        2 asks l2 as low
        3 asks l3 as low => l3 rejected-saturated
        0 asks z
        3 asks h as high
        count => (4, 0, 1)
        a ends => h goes
        h ends => l1 goes
        1 asks l4 as low
        count => (3, 0, 1)
        ",
    );
    world.is_well();
}

#[test]
fn a_full_total_rejects_whoever_comes() {
    let world = gated(&json!({"maxRequests": 2, "displace": false}));
    tell(
        &world,
        "
        1 pods
        0 asks a => a goes
        1 asks b1 b2 as batch
        2 asks h as high => h rejected-saturated
        a ends => b1 goes
        3 asks h2 as high
        b1 ends => h2 goes
        ",
    );
    world.is_well();
}

#[test]
fn or_makes_room_for_a_higher_band() {
    let world = gated(&json!({"maxRequests": 3, "displace": true}));
    tell(
        &world,
        "
        1 pods
        0 asks a => a goes
        1 asks b1 b2 as batch
        2 asks l1 as low
        3 asks h1 as high => b2 evicted-queue-pressure
        0 asks l2 as low => b1 evicted-queue-pressure
        0 asks l3 as low => l3 rejected-saturated
        1 asks h2 as high => l2 evicted-queue-pressure
        count => (3, 0, 1)
        a ends => h1 goes
        h1 ends => h2 goes
        h2 ends => l1 goes
        l1 ends
        count => (0, 0, 0)
        ",
    );
    world.is_well();
}

/// A body about something is some 5 kB.
#[test]
fn bytes_are_counted_too() {
    let world = gated(&json!({"maxBytes": "12k"}));
    tell(
        &world,
        "
        1 pods
        0 asks a => a goes
        1 asks b about ants
        2 asks c about bees
        3 asks d about cows => d rejected-saturated
        3 asks e
        b leaves
        3 asks f about dogs
        count => (3, 0, 1)
        ",
    );
    world.is_well();
}
