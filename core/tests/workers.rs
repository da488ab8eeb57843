//! Laws: many workers with late and lost messages act as one.
//!
//! `LLM_PICKER_SIM_STEPS` sets how many random steps are taken, a million by default. A failure
//! names the seed and the step; `LLM_PICKER_SIM_SEED` is the seed to begin with, 0 by default.
#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    reason = "a test may panic"
)]
#![allow(clippy::struct_excessive_bools, reason = "each is a switch of the world by itself")]

#[path = "workers/chance.rs"]
mod chance;
#[path = "workers/checks.rs"]
mod checks;
#[path = "workers/clients.rs"]
mod clients;
#[path = "workers/evictions.rs"]
mod evictions;
#[path = "workers/faults.rs"]
mod faults;
#[path = "workers/inputs.rs"]
mod inputs;
#[path = "workers/lab.rs"]
mod lab;
#[path = "workers/outside.rs"]
mod outside;
#[path = "workers/pool.rs"]
mod pool;
#[path = "workers/request.rs"]
mod request;
#[path = "workers/shares.rs"]
mod shares;
#[path = "workers/turns.rs"]
mod turns;
#[path = "workers/witness.rs"]
mod witness;
#[path = "workers/world.rs"]
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use lab::Lab;
use world::World;

/// Steps in one world: long enough for workers to die and arbiters to follow each other.
const STEPS_PER_WORLD: u64 = 2_000;

/// Milliseconds in one world: a death is known after five seconds of it.
const MILLISECONDS_PER_WORLD: u64 = 8_000;

/// Runs these many seeds, as many at once as there are cores: each is by itself.
fn side_by_side(seeds: u64, run: impl Fn(u64) + Copy + Send) {
    let first = setting("LLM_PICKER_SIM_SEED", 0);
    let seeds = first..first + seeds;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for core in 0..cores {
            let seeds = seeds.clone().skip(core).step_by(cores);
            scope.spawn(move || seeds.for_each(run));
        }
    });
}

/// Runs one world to its end; the number of requests that were evicted in it.
fn run(seed: u64, steps: u64, step: fn(&mut World)) -> u64 {
    let mut world = World::new(seed);
    for _ in 0..steps {
        step(&mut world);
    }
    world.come_to_rest();
    world.evictions.count
}

fn steps() -> u64 {
    setting("LLM_PICKER_SIM_STEPS", 1_000_000)
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

/// Every request gets one answer, none passes those that wait, the pool is never overrun, each
/// grant is one that the arbiter's rules allow by what it knew, and whenever all was heard the
/// ledger is true, no request waits for nothing, and all workers know the same. After any faults (see
/// [`faults`]) the ledger is true again within five seconds.
#[test]
fn many_workers_act_as_one() {
    let worlds = steps().div_ceil(STEPS_PER_WORLD);
    let evicted = AtomicU64::new(0);
    side_by_side(worlds, |seed| {
        evicted.fetch_add(run(seed, STEPS_PER_WORLD, World::step), Ordering::Relaxed);
    });
    // One in four worlds at the least evicts, and each of those more than once.
    let least = if worlds < 100 { 0 } else { worlds / 4 };
    assert!(evicted.into_inner() >= least, "the law says nothing of evictions");
}

/// The same by the clock of an Envoy: no request waits beyond its time to live, a tick and two messages,
/// and while an arbiter is replaced no longer than that takes.
#[test]
fn nobody_waits_longer_than_told() {
    let worlds = (steps() / 4).div_ceil(MILLISECONDS_PER_WORLD);
    side_by_side(worlds, |seed| {
        run(seed, MILLISECONDS_PER_WORLD, World::millisecond);
    });
}

/// A proposal that does not come to hold leaves nothing behind: to propose on one state and then on a
/// newer one is to propose on the newer one alone, for every input on any state.
#[test]
fn a_lost_try_leaves_nothing_behind() {
    side_by_side(steps().div_ceil(10_000), |seed| {
        let mut lab = Lab::new(seed, true);
        for _ in 0..100 {
            let (place, inputs) = lab.next();
            inputs.iter().for_each(|input| lab.lose_a_try(place, input));
            lab.run(place, inputs);
        }
    });
}

/// No input is too much for a worker, in whatever order and on whatever state: requests that it does
/// not know, terms that are over, grants for what is gone, configurations while requests are held.
#[test]
fn any_input_on_any_state_is_survived() {
    side_by_side(steps().div_ceil(4_000), |seed| {
        let mut lab = Lab::new(seed, false);
        for _ in 0..500 {
            let (place, inputs) = lab.next();
            lab.run(place, inputs);
        }
    });
}
