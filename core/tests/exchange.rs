//! The law of several gateways as one: whatever happens to messages, scrapers and gateways, no limit is
//! passed and each request gets one answer.
//!
//! `LLM_PICKER_SIM_STEPS` sets how many milliseconds are lived through with faults, a million by default.
//! A failure names the seed; `LLM_PICKER_SIM_SEED` is the seed to begin with, 0 by default.
#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a test may panic"
)]

#[path = "exchange/chance.rs"]
mod chance;
#[path = "exchange/faults.rs"]
mod faults;
#[path = "exchange/gateway.rs"]
mod gateway;
#[path = "exchange/load.rs"]
mod load;
#[path = "exchange/scraper.rs"]
mod scraper;
#[path = "exchange/world.rs"]
mod world;

use faults::Faults;
use load::Load;
use world::{Figures, World};

/// Milliseconds of one world with faults: long enough for a dead gateway's credit to come back.
const WORLD_MS: u64 = 25_000;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

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

/// Messages between scraper and gateways are lost, late, come in another order or twice; scrapers die, and
/// an old one goes on beside its successor; gateways die and start. At no moment do more requests run than
/// the pool takes, and when the faults are over, every request has its one answer and the whole pool is in
/// use again.
#[test]
fn no_limit_is_passed_whatever_happens() {
    let worlds = setting("LLM_PICKER_SIM_STEPS", 1_000_000).div_ceil(WORLD_MS);
    side_by_side(worlds, |seed| {
        let mut world = World::new(seed, Load::any(seed), Faults::any(seed));
        world.live(WORLD_MS);
        world.come_to_rest();
    });
}

/// Without faults, under a load above what the pool serves: no place is empty for long, high bands wait no
/// longer than in one queue, and hardly a low request goes while a high one waits at another gateway.
#[test]
fn several_gateways_serve_like_one_queue() {
    let run = |gateways| {
        let figures = [7, 8, 9].map(|seed| {
            let mut world = World::new(seed, Load::above_capacity(gateways), Faults::NONE);
            world.live(40_000);
            world.figures()
        });
        Figures::mean(&figures)
    };
    let one = run(1);
    for gateways in [2, 4, 8] {
        let found = run(gateways);
        eprintln!("{gateways} gateways: {found:?}, one: {one:?}");
        assert!(found.busy >= 0.98, "{gateways}: {found:?}");
        assert!(found.low_before_high <= 0.02, "{gateways}: {found:?}");
        assert!(found.high_p99 <= 1.2 * one.high_p99, "{gateways}: {found:?}, one {one:?}");
    }
}
