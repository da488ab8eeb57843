//! A worker's VM dies while requests wait. What it held is lost with it, as its client sees; the others go on.

use serde_json::json;

use super::{
    script::tell,
    world::{gated, shows_no_queue},
};

/// The arbiter sees at a look, one a second, that the dead worker did not take its grant, so that the place goes to another. The
/// worker's own counts go after three seconds of looks.
#[test]
fn a_worker_dies_while_it_holds() {
    let world = gated(&json!({}));
    tell(
        &world,
        "
        1 pods
        0 asks a => a goes
        1 asks b
        2 asks c
        3 asks d
        2 dies
        a ends => b goes
        b ends
        count => (2, 1, 0)
        2 s pass => d goes
        count => (1, 0, 1)
        2800 ms pass
        count => (0, 0, 1)
        d ends
        count => (0, 0, 0)
        2 asks e => e goes
        ",
    );
}

/// Worker 1 holds the lease: the next one takes it when its term is over, and all hand in again. It
/// waits another 50 ms for the ticket of worker 1, which the ledger still counts.
#[test]
fn the_arbiter_dies() {
    let world = gated(&json!({}));
    tell(
        &world,
        "
        1 pods
        0 asks a => a goes
        1 asks b
        3 asks d as low
        2 asks c as high
        1 dies
        a ends
        300 ms pass => c goes
        c ends => d goes
        count => (1, 0, 1)
        0 asks e
        d ends => e goes
        6 s pass
        count => (0, 0, 1)
        e ends
        count => (0, 0, 0)
        1 asks f => f goes
        ",
    );
}

/// Worker 2 notices first, and knows of its own request before it knows of worker 3's.
#[test]
fn the_next_arbiter_hears_everyone_before_it_decides() {
    let world = gated(&json!({}));
    tell(
        &world,
        "
        1 pods
        0 asks a => a goes
        1 asks b
        2 asks l as low
        3 asks h as high
        30 ms pass
        1 dies
        a ends
        300 ms pass => h goes
        h ends => l goes
        ",
    );
}

/// The only one who ever kept queues, and whoever it kept them for, are gone.
#[test]
fn nobody_goes_on_showing_what_waited_at_the_dead() {
    let world = gated(&json!({}));
    tell(
        &world,
        "
        1 pods
        0 asks a => a goes
        1 asks b c
        30 ms pass
        ",
    );
    assert!(!shows_no_queue(&world));
    tell(
        &world,
        "
        1 dies
        7 s pass
        count => (0, 0, 1)
        ",
    );
    assert!(shows_no_queue(&world));
}

/// What was granted and not taken is void; nobody is sent twice, and nobody waits for it.
#[test]
fn the_arbiter_dies_with_its_grants_on_their_way() {
    let world = gated(&json!({}));
    tell(
        &world,
        "
        2 pods
        0 asks a a2 => a goes, a2 goes
        1 asks b
        2 asks c
        3 asks d
        b leaves
        nobody hears
        a ends
        one hears
        count => (2, 1, 1)
        1 dies
        all hear => c goes
        a2 ends
        300 ms pass => d goes
        count => (0, 0, 2)
        c ends
        d ends
        count => (0, 0, 0)
        ",
    );
}

/// What it had sent no longer counts, so that the pool is not smaller for ever.
#[test]
fn a_worker_dies_with_requests_in_flight() {
    let world = gated(&json!({}));
    tell(
        &world,
        "
        2 pods
        0 asks a => a goes
        3 asks b => b goes
        3 dies
        1 asks c
        2 s pass
        count => (1, 0, 2)
        2800 ms pass => c goes
        count => (0, 0, 2)
        a ends
        c ends
        count => (0, 0, 0)
        ",
    );
}

/// Two at once, the arbiter among them.
#[test]
fn most_of_them_die() {
    let world = gated(&json!({}));
    tell(
        &world,
        "
        1 pods
        0 asks a => a goes
        1 asks b
        2 asks c
        3 asks d e
        1 dies
        2 dies
        a ends
        300 ms pass => d goes
        d ends => e goes
        e ends
        7 s pass
        0 asks f => f goes
        count => (0, 0, 1)
        ",
    );
}
