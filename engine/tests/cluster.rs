//! Laws: many workers with late and lost messages act as one.
//!
//! `LLM_PICKER_SIM_STEPS` sets how many random steps are taken, a million by default. A failure
//! names the seed and the step.
#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

#[path = "cluster/world.rs"]
mod world;

use world::{Chance, World};

/// Steps in one world: long enough for workers to die and arbiters to follow each other.
const STEPS_PER_WORLD: u64 = 2_000;

#[test]
fn many_workers_act_as_one() {
    let steps: u64 = std::env::var("LLM_PICKER_SIM_STEPS")
        .map_or(1_000_000, |steps| steps.parse().expect("LLM_PICKER_SIM_STEPS is a number"));
    for seed in 0..steps.div_ceil(STEPS_PER_WORLD) {
        let mut chance = Chance::new(seed);
        let workers = 1 + chance.below(4);
        let mut world = World::new(seed, workers, 1 + chance.below(12));
        for _ in 0..STEPS_PER_WORLD {
            world.step(&mut chance);
        }
        world.come_to_rest();
    }
}
