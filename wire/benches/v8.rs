//! The same in V8, which is where Envoy runs it:
//!
//! ```text
//! RUSTFLAGS='-C target-feature=+simd128' \
//! CARGO_TARGET_WASM32_WASIP1_RUNNER="node --no-warnings $PWD/wire/benches/v8.mjs" \
//!     cargo bench -p wire --bench v8 --target wasm32-wasip1
//! ```
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "a bench")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use picker_core::{BLOCKS_MAX, Chainer, Seed};
use serde::de::IgnoredAny;
use wire::{
    body::{Api, Video, scan},
    metrics,
};

#[path = "../tests/sample/mod.rs"]
mod sample;

/// Long enough for V8 to compile with its optimising compiler.
const WARM_UP: Duration = Duration::from_millis(300);
const SAMPLES: usize = 51;

fn main() {
    println!("median us per body");
    println!(
        "{:>10} {:>10} {:>10} {:>10} {:>16}",
        "bytes", "text", "scan", "scan, hash", "serde_json skip"
    );
    let texts = [
        ("plain", sample::PLAIN),
        ("escaped", sample::ESCAPED),
        ("mixed", sample::MIXED),
        ("nested", sample::NESTED),
        ("unicode", sample::UNICODE),
    ];
    for size in [1 << 10, 32 << 10, 220 << 10, 4 << 20] {
        for (name, text) in texts {
            let body = sample::chat(size, text);
            let ours = median(|| {
                black_box(
                    scan(black_box(body.as_bytes()), Api::ChatCompletions, Video::default())
                        .unwrap(),
                );
            });
            let hashed = median(|| {
                let inference =
                    scan(black_box(body.as_bytes()), Api::ChatCompletions, Video::default())
                        .unwrap();
                let mut chainer = Chainer::new(&Seed::default(), BLOCKS_MAX);
                inference.prompt.iter().for_each(|piece| piece.chain(&mut chainer));
                black_box(chainer.finish());
            });
            let theirs = median(|| {
                black_box(serde_json::from_str::<IgnoredAny>(black_box(&body)).unwrap());
            });
            println!("{size:>10} {name:>10} {ours:>10.2} {hashed:>10.2} {theirs:>16.2}");
        }
    }
    let page = include_bytes!("../tests/data/vllm-0.32.0.txt");
    let scrape = median(|| {
        black_box(metrics::scan(black_box(page)).unwrap());
    });
    println!("{:>10} {:>10} {scrape:>10.2}", page.len(), "/metrics");
}

/// The median time of a call in microseconds, warmed up.
fn median(mut call: impl FnMut()) -> f64 {
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
    samples.get(SAMPLES / 2).copied().unwrap_or(f64::NAN)
}
