//! What is measured of a server, from outside.

use std::{net::SocketAddr, sync::mpsc, thread};

use serde_json::{Value, json};

use crate::client::{Streamed, stream};

/// Prompt lengths, in tokens: a tenth to nearly all of the real server's 2,048.
const LENGTHS: [u32; 4] = [256, 512, 1024, 1900];
/// Repetitions, of which the least counts: whatever else runs on the machine only adds.
const REPEATS: u32 = 5;

/// Token ids that no earlier prompt of this process began with.
fn prompt(length: u32, seed: u32) -> Vec<u32> {
    let mut state = u64::from(seed) + 1;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        10 + u32::try_from(state >> 33).unwrap() % 3_990
    };
    (0..length).map(|_| next()).collect()
}

fn least(values: impl IntoIterator<Item = f64>) -> f64 {
    let least = values.into_iter().fold(f64::INFINITY, f64::min);
    (least * 100.0).round() / 100.0
}

fn ttft_ms(runs: &[Streamed]) -> f64 {
    least(runs.iter().map(|run| run.first.as_secs_f64() * 1e3))
}

/// Measures everything; `seed` keeps the prompts of two runs apart.
pub(crate) fn measure(server: SocketAddr, seed: u32) -> Value {
    let once = |length, seed, n| stream(server, &prompt(length, seed), n, |_| ());
    once(300, seed, 4);
    let ttft: Vec<Value> = LENGTHS
        .into_iter()
        .map(|length| {
            let seeds = (0..REPEATS).map(|i| seed + 1 + i + 100 * length);
            let (cold, warm): (Vec<_>, Vec<_>) =
                seeds.map(|seed| (once(length, seed, 2), once(length, seed, 2))).unzip();
            assert!(cold.iter().all(|run| run.cached == 0), "cold: {cold:?}");
            json!({
                "prompt_tokens": cold[0].prompt,
                "cold_ms": ttft_ms(&cold),
                "warm_ms": ttft_ms(&warm),
                "warm_cached_tokens": warm[0].cached,
            })
        })
        .collect();
    let itl: Vec<Value> =
        [1, 4, 8].into_iter().map(|batch| inter_token(server, batch, seed)).collect();
    json!({"ttft": ttft, "itl": itl, "disturbed": disturbed(server, seed)})
}

/// `batch` decodes of 96 tokens at once: the mean over the batch, in the least disturbed of three runs.
fn inter_token(server: SocketAddr, batch: u32, seed: u32) -> Value {
    let run = |run: u32| {
        thread::scope(|scope| {
            let prompts =
                (0..batch).map(|i| prompt(32, seed + 7_000_000 + 1_000 * run + 100 * batch + i));
            let runs: Vec<_> = prompts
                .map(|prompt| scope.spawn(move || stream(server, &prompt, 96, |_| ()).itl_ms()))
                .collect();
            runs.into_iter().map(|run| run.join().unwrap()).sum::<f64>() / f64::from(batch)
        })
    };
    json!({"batch": batch, "ms": least((0..3).map(run))})
}

/// A prompt of 1,900 tokens arrives while another request decodes.
fn disturbed(server: SocketAddr, seed: u32) -> Value {
    let (decoding, begun) = mpsc::channel();
    let runs: Vec<Streamed> = (0..3)
        .map(|i| {
            let decoding = decoding.clone();
            let victim = prompt(32, seed + 8_000_000 + i);
            let long = prompt(1900, seed + 9_000_000 + i);
            thread::scope(|scope| {
                let victim = scope.spawn(move || {
                    stream(server, &victim, 96, |chunks| {
                        if chunks == 20 {
                            decoding.send(()).unwrap();
                        }
                    })
                });
                begun.recv().unwrap();
                stream(server, &long, 2, |_| ());
                victim.join().unwrap()
            })
        })
        .collect();
    json!({"longest_gap_ms": least(runs.iter().map(Streamed::longest_gap_ms))})
}
