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

#[path = "workers/chance.rs"]
mod chance;
#[path = "workers/pool.rs"]
mod pool;
#[path = "workers/request.rs"]
mod request;
#[path = "workers/shares.rs"]
mod shares;
#[path = "workers/witness.rs"]
mod witness;
#[path = "workers/world.rs"]
mod world;

use chance::Chance;
use world::World;

/// Steps in one world: long enough for workers to die and arbiters to follow each other.
const STEPS_PER_WORLD: u64 = 2_000;

fn worlds(steps: u64, step: impl Fn(&mut World, &mut Chance)) {
    for seed in 0..steps.div_ceil(STEPS_PER_WORLD) {
        let mut chance = Chance::new(seed);
        let mut world = World::new(seed, &mut chance);
        for _ in 0..STEPS_PER_WORLD {
            step(&mut world, &mut chance);
        }
        world.come_to_rest();
    }
}

fn steps() -> u64 {
    std::env::var("LLM_PICKER_SIM_STEPS")
        .map_or(1_000_000, |steps| steps.parse().expect("LLM_PICKER_SIM_STEPS is a number"))
}

/// Every request gets one answer, nobody passes those who wait, the pool is never overrun, each
/// grant is one that the arbiter's rules allow by what it knew, and whenever all was heard the
/// ledger is true and nobody waits for nothing.
#[test]
fn many_workers_act_as_one() {
    worlds(steps(), World::step);
}

/// The same by the clock of an Envoy: nobody waits beyond its time to live, a tick and two messages,
/// and while an arbiter is replaced no longer than that takes.
#[test]
fn nobody_waits_longer_than_told() {
    worlds(steps() / 4, World::millisecond);
}
