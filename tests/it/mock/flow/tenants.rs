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
fn served(
    world: &World,
    loud: impl Fn(usize) -> String,
    quiet: impl Fn(usize) -> String,
) -> [usize; 2] {
    let mut script = Script::new(world);
    script.play("1 pods");
    let mut going = script.play("0 asks first");
    for n in 0..200 {
        script.play(&format!("{} asks loud{n} by loud about {}", n % WORKERS, loud(n)));
        if n % 10 == 0 {
            script.play(&format!("{} asks quiet{n} by quiet about {}", n % 3, quiet(n)));
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
    let world = fair("round-robin-fairness-policy");
    assert_eq!(served(&world, ants, whales), [15, 15]);
}

/// The quiet one's prompts are twice as long, so the loud one may send twice as many.
#[test]
fn token_fair_counts_tokens() {
    let twice = about(&whales(0)).len() as f64 / about(&ants(0)).len() as f64;
    assert!((1.9..2.2).contains(&twice), "{twice}");
    let [loud, quiet] = served(&fair("token-fair-fairness-policy"), ants, whales);
    assert!(loud.abs_diff(2 * quiet) <= 3, "{loud} and {quiet}");
}

/// The quiet one asks the same again and again: only the first costs the pod anything, so that all
/// others pass whatever the loud one has waiting.
#[test]
fn token_fair_counts_what_is_not_cached() {
    let world = fair("token-fair-fairness-policy");
    let [loud, quiet] = served(&world, ants, |_| whales(0));
    assert_eq!(quiet, 20, "{loud} of the loud one");
}

/// When these two arrive nobody has asked the like, so both are expected to cost their whole prompt.
/// Once the first of them is sent the second is found in the cache, and its tenant gets back what it
/// was charged for it.
#[test]
fn what_was_charged_too_much_is_given_back() {
    let world = fair("token-fair-fairness-policy");
    tell(
        &world,
        "
        1 pods
        0 asks a => a goes
        1 asks q1 q2 by quiet about whales
        2 asks q3 by quiet about rivers
        3 asks l1 by loud about ants
        2 asks l2 by loud about stars
        a ends => q1 goes
        q1 ends => l1 goes
        l1 ends => l2 goes
        l2 ends => q2 goes
        q2 ends => q3 goes
        q3 ends
        count => (0, 0, 0)
        ",
    );
    world.is_well();
}

fn ants(n: usize) -> String {
    format!("ants-{n:03}")
}

fn whales(n: usize) -> String {
    format!("whales-and-whatever-else-swims-in-{n:03}")
}
