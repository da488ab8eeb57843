//! A decision in V8, which is where Envoy makes it:
//!
//! ```text
//! RUSTFLAGS='-C target-feature=+simd128' \
//! CARGO_TARGET_WASM32_WASIP1_RUNNER="node --no-warnings $PWD/wire/benches/v8.mjs" \
//!     cargo bench -p engine --bench v8 --target wasm32-wasip1
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a bench prints what the clock says, and may panic"
)]

use std::time::{Duration, Instant};

#[path = "parts/arrivals.rs"]
mod arrivals;

use arrivals::Arrivals;

/// Long enough for V8 to compile with its optimising compiler.
const WARM_UP: Duration = Duration::from_millis(500);
const SAMPLES: usize = 101;

fn main() {
    println!("{:>10} {:>12} {:>12}", "endpoints", "median, us", "lowest, us");
    for endpoints in [10, 100, 1_000] {
        let mut arrivals = Arrivals::new(endpoints);
        let samples = timed(|| arrivals.arrive());
        println!("{endpoints:>10} {:>12.2} {:>12.2}", samples[SAMPLES / 2], samples[0]);
    }
}

/// Returns what a call takes in microseconds, warmed up, in ascending order.
fn timed(mut call: impl FnMut()) -> Vec<f64> {
    let start = Instant::now();
    let mut calls = 0_u32;
    while start.elapsed() < WARM_UP {
        call();
        calls += 1;
    }
    let batch = (calls / 100).max(1);
    let mut samples: Vec<f64> = (0..SAMPLES)
        .map(|_| {
            let start = Instant::now();
            (0..batch).for_each(|_| call());
            start.elapsed().as_secs_f64() * 1e6 / f64::from(batch)
        })
        .collect();
    samples.sort_by(f64::total_cmp);
    samples
}
