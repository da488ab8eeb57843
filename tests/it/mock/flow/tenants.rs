//! Two tenants, one ten times as loud.
#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use serde_json::json;

use super::{
    script::{Script, tell},
    world::gated_with,
};
use crate::mock::world::{WORKERS, World, about};

fn fair(policy: &str) -> World {
    let band = json!({"fairnessPolicyRef": policy});
    gated_with(&[json!({"type": policy})], &json!({"defaultPriorityBand": band}))
}

#[test]
fn in_turn() {
    let world = fair("round-robin-fairness-policy");
    tell(
        &world,
        "
        1 pods
        0 asks a => a goes
        1 asks l1 l2 l3 by loud
        2 asks l4 l5 by loud
        3 asks q1 by quiet
        0 asks q2 by quiet
        a ends => l1 goes
        l1 ends => q1 goes
        q1 ends => l2 goes
        l2 ends => q2 goes
        q2 ends => l3 goes
        l3 ends => l4 goes
        3 asks q3 by quiet
        l4 ends => l5 goes
        l5 ends => q3 goes
        q3 ends
        count => (0, 0, 0)
        ",
    );
    world.is_well();
}

/// Without fairness the loud one has what it asks for.
#[test]
fn global_strict_knows_no_tenants() {
    let world = fair("global-strict-fairness-policy");
    tell(
        &world,
        "
        1 pods
        0 asks a => a goes
        1 asks l1 l2 by loud
        3 asks q1 by quiet
        2 asks l3 by loud
        a ends => l1 goes
        l1 ends => l2 goes
        l2 ends => q1 goes
        q1 ends => l3 goes
        ",
    );
    world.is_well();
}

/// How many of each tenant's requests went while both waited: ten a round of the loud one, and one of the quiet one, which
/// says what it wants at length.
fn served(world: &World, loud: &str, quiet: &str) -> [usize; 2] {
    let mut script = Script::new(world);
    script.play("1 pods");
    let mut going = script.play("0 asks first");
    for n in 0..200 {
        script.play(&format!("{} asks loud{n} by loud about {loud}", n % WORKERS));
        if n % 10 == 0 {
            script.play(&format!("{} asks quiet{n} by quiet about {quiet}", n % 3));
        }
    }
    let mut served = [0; 2];
    // The quiet one's twenty are all gone after forty turns: until then both wait.
    for _ in 0..30 {
        going = script.play(&format!("{} ends", going.trim_end_matches(" goes")));
        served[usize::from(going.starts_with("quiet"))] += 1;
    }
    served
}

#[test]
fn round_robin_counts_requests() {
    assert_eq!(served(&fair("round-robin-fairness-policy"), "ants", "whales"), [15, 15]);
}

/// The quiet one's prompts are twice as long, so the loud one may send twice as many.
#[test]
fn token_fair_counts_tokens() {
    let [ants, whales] = ["ants", "whales-and-whatever-else-swims"];
    let twice = about(whales).len() as f64 / about(ants).len() as f64;
    assert!((1.9..2.2).contains(&twice), "{twice}");
    let [loud, quiet] = served(&fair("token-fair-fairness-policy"), ants, whales);
    assert!(loud.abs_diff(2 * quiet) <= 3, "{loud} and {quiet}");
}
