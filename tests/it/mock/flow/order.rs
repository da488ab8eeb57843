//! Who goes at once, and who goes next.

use serde_json::json;

use super::{script::tell, world::gated};

#[test]
fn while_there_is_room_nobody_waits() {
    let world = gated(&json!({}));
    tell(
        &world,
        "
        4 pods
        0 asks a => a goes
        1 asks b => b goes
        2 asks c => c goes
        3 asks d => d goes
        3 asks e
        count => (1, 0, 4)
        b ends => e goes
        a ends
        c ends
        d ends
        e ends
        count => (0, 0, 0)
        ",
    );
    world.is_well();
}

/// No worker knows of the others' requests but through the arbiter, which is whichever held first.
#[test]
fn those_who_wait_go_in_the_order_in_which_they_came() {
    let world = gated(&json!({}));
    tell(
        &world,
        "
        2 pods
        2 asks a b => a goes, b goes
        3 asks c
        1 asks d
        0 asks e f
        1 asks g
        2 asks h
        count => (6, 0, 2)
        b ends => c goes
        a ends => d goes
        c ends => e goes
        e ends => f goes
        d ends => g goes
        g ends => h goes
        count => (0, 0, 2)
        f ends
        h ends
        count => (0, 0, 0)
        ",
    );
    world.is_well();
}

/// Each of these finds room of its own, and must not jump the queue for it.
#[test]
fn nobody_passes_those_who_wait() {
    let world = gated(&json!({}));
    tell(
        &world,
        "
        1 pods
        0 asks a b => a goes
        nobody hears
        a ends
        3 asks c
        count => (2, 0, 0)
        all hear => b goes
        b ends => c goes
        c ends
        count => (0, 0, 0)
        ",
    );
    world.is_well();
}

/// More room is more than one request's.
#[test]
fn a_pod_that_joins_takes_what_waits() {
    let world = gated(&json!({}));
    tell(
        &world,
        "
        1 pods
        0 asks a b c => a goes
        1 asks d e
        4 pods => b goes, c goes, d goes
        1 pods
        d ends
        c ends
        b ends
        a ends => e goes
        e ends
        count => (0, 0, 0)
        ",
    );
    world.is_well();
}

/// What a client of a held request can tell of it.
#[test]
fn what_was_served_says_how_long_it_waited() {
    let world = gated(&json!({}));
    let mut script = super::script::Script::new(&world);
    for line in ["1 pods", "0 asks a", "1 asks b", "1500 ms pass", "a ends", "b ends"] {
        script.play(line);
    }
    let waited = |name: &str| {
        let response = script.stream(name).response();
        response.and_then(|it| Some(it.headers.text("x-llm-d-flow-queue-duration-ms")?.to_owned()))
    };
    assert_eq!(waited("a").as_deref(), Some("0"));
    assert_eq!(waited("b").as_deref(), Some("1501"), "and the millisecond after its arrival");
    world.is_well();
}
