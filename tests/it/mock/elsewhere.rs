//! An endpoint refuses, and Envoy goes to the next of the list: there the request is counted from then on, and there its
//! prefix is cached.
use serde_json::json;

use super::{story::tell, world::World};

/// Requests in flight on pods 1 and 2.
fn in_flight(world: &World) -> [u32; 2] {
    ["10.0.0.1:8000", "10.0.0.2:8000"].map(|pod| world.in_flight(pod).0)
}

#[test]
fn it_counts_where_it_is_served() {
    let world = World::new();
    tell(&world, "pods 0.0 0.1\n 0 asks a about rivers => pod 1\n a gets 200 from 2");
    assert_eq!(in_flight(&world), [0, 1]);
    tell(
        &world,
        "1 asks b about stars => pod 1\n b gets 503 from 2\n 2 asks c about hills => pod 1",
    );
    assert_eq!(in_flight(&world), [1, 2]);
}

/// By every worker, the one included that had it wrong.
#[test]
fn its_prefix_is_where_it_is_served() {
    let world = World::new();
    tell(
        &world,
        "
        pods 0.0 0.1
        0 asks a about rivers => pod 1
        a gets 200 from 2
        a ends
        pods 0.0 0.1
        0 asks b about rivers => pod 2
        1 asks c about rivers => pod 2
        3 asks d about stars => pod 1
        ",
    );
    world.is_well();
}

/// What another request counts on at the first stays.
#[test]
fn only_its_own_placement_moves() {
    let world = World::new();
    tell(
        &world,
        "
        pods 0.0 0.9
        0 asks a about rivers => pod 1
        1 asks b about rivers => pod 1
        b gets 200 from 1
        b ends
        a gets 200 from 2
        a ends
        pods 0.0 0.9
        2 asks c about rivers => pod 1
        ",
    );
    world.is_well();
}

/// Where nobody took it nothing is cached.
#[test]
fn who_fails_everywhere_leaves_nothing() {
    let world = World::new();
    tell(
        &world,
        "
        pods 0.0 0.1
        0 asks a about rivers => pod 1
        a gets 503 from 2
        a ends
        pods 0.5 0.0
        0 asks b about rivers => pod 2
        b leaves
        pods 0.0 0.5
        1 asks c about rivers => pod 1
        ",
    );
    world.is_well();
}

/// A worker that dies then is taken off the endpoint that it was last counted at.
#[test]
fn its_row_moves_along() {
    let world = World::with(super::world::Way::STOP_ITERATION_HEADER, &json!({}));
    tell(&world, "pods 0.0 0.1\n 3 asks a about rivers => pod 1\n a gets 200 from 2");
    assert_eq!(in_flight(&world), [0, 1]);
    tell(&world, "3 dies\n 0 asks b about stars => pod 1\n b gets 200\n 7000 ms pass");
    assert_eq!(in_flight(&world), [0, 0]);
}
