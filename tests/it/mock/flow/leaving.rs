//! Clients that leave while they wait, and just when they need not wait any more.

use serde_json::json;

use super::{script::tell, world::gated};

#[test]
fn who_leaves_is_passed_over() {
    let world = gated(&json!({}));
    tell(
        &world,
        "
        1 pods
        0 asks a => a goes
        1 asks b c
        2 asks d
        3 asks e
        b leaves
        d leaves
        count => (2, 0, 1)
        a ends => c goes
        c leaves => e goes
        e is refused => e 503
        count => (0, 0, 0)
        ",
    );
    world.is_well();
}

/// Worker 1, which decides, has granted b its place; the word of it is on its way to worker 2.
#[test]
fn who_leaves_between_grant_and_resume_leaves_the_place() {
    let world = gated(&json!({}));
    tell(
        &world,
        "
        1 pods
        0 asks a => a goes
        1 asks x
        2 asks b
        3 asks c
        x leaves
        nobody hears
        a ends
        one hears
        count => (2, 1, 0)
        b leaves
        all hear => c goes
        count => (0, 0, 1)
        c ends
        count => (0, 0, 0)
        ",
    );
    world.is_well();
}

/// The word that it left has not reached the arbiter, which grants it a place: it comes back at once, and is granted again at
/// the arbiter's next tick.
#[test]
fn who_left_unheard_costs_nobody_a_place() {
    let world = gated(&json!({}));
    tell(
        &world,
        "
        1 pods
        0 asks a => a goes
        1 asks b
        2 asks c d
        nobody hears
        c leaves
        b leaves
        a ends
        all hear => d goes
        d ends
        count => (0, 0, 0)
        ",
    );
    world.is_well();
}

#[test]
fn all_leave() {
    let world = gated(&json!({}));
    tell(
        &world,
        "
        1 pods
        0 asks a => a goes
        1 asks b c
        2 asks d
        b leaves
        c leaves
        d leaves
        count => (0, 0, 1)
        a leaves
        count => (0, 0, 0)
        3 asks e => e goes
        ",
    );
    world.is_well();
}
