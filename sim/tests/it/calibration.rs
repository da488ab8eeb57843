//! The pure engine's times against those of a real server, in virtual time.

use std::time::Duration;

use serde_json::Value;
use sim::engine_core::{Chain, Config, Cost, Effect, EngineCore, Request, RequestId};

/// Measured on a real server; `data/README.md` says how.
const REAL: &str = include_str!("../data/real-vllm-0.32.json");

/// How far the model may be from the measurement. Runs of the real server differ by 5 %.
const TOLERANCE: f64 = 0.12;

/// The settings under which the real server was measured.
fn engine() -> EngineCore {
    EngineCore::new(Config {
        block_tokens: 32,
        blocks: 256,
        max_running: 8,
        max_step_tokens: 2048,
        max_model_tokens: 2048,
        max_adapters: 0,
        cost: Cost::CPU,
    })
}

fn request(length: u64, seed: u32, max_tokens: usize) -> Request {
    let mut prompt = Chain::new(32, "");
    (0..length).for_each(|i| prompt.push(u32::try_from(i).unwrap() * 1000 + seed));
    Request { prompt, max_tokens, stop_after: None, priority: 0, adapter: None, is_received: false }
}

/// What came when, until the engine is idle or `until` has come.
fn run(core: &mut EngineCore, until: Duration) -> Vec<(Duration, Effect)> {
    let mut log = Vec::new();
    while let Some(due) = core.due().filter(|due| *due <= until) {
        let mut effects = Vec::new();
        core.advance(due, &mut effects);
        log.extend(effects.into_iter().map(|effect| (due, effect)));
    }
    log
}

fn tokens_of(log: &[(Duration, Effect)], wanted: u64) -> Vec<Duration> {
    let mine = |effect: &Effect| matches!(effect, Effect::Token { id, .. } if id.0 == wanted);
    log.iter().filter(|(_, effect)| mine(effect)).map(|(at, _)| *at).collect()
}

fn close(what: &str, simulated: Duration, real_ms: &Value) {
    let (simulated, real) = (simulated.as_secs_f64() * 1e3, real_ms.as_f64().unwrap());
    let off = simulated / real - 1.0;
    println!("{what}: {simulated:.1} ms, real {real:.1} ms ({:+.0} %)", off * 100.0);
    assert!(off.abs() < TOLERANCE, "{what}: {simulated:.1} ms, but {real:.1} ms on a real server");
}

#[test]
fn first_tokens_come_as_on_a_real_server() {
    let real: Value = serde_json::from_str(REAL).unwrap();
    for figures in real["ttft"].as_array().unwrap() {
        let length = figures["prompt_tokens"].as_u64().unwrap();
        let mut core = engine();
        for (id, kind) in [(1, "cold_ms"), (2, "warm_ms")] {
            let start = Duration::from_secs(10 * id);
            core.arrive(start, RequestId(id), request(length, 7, 2), &mut Vec::new());
            let log = run(&mut core, Duration::MAX);
            close(&format!("{length} {kind}"), tokens_of(&log, id)[0] - start, &figures[kind]);
        }
        assert_eq!(core.meter().prefix_cache_hits, figures["warm_cached_tokens"].as_u64().unwrap());
    }
}

#[test]
fn next_tokens_come_as_on_a_real_server() {
    let real: Value = serde_json::from_str(REAL).unwrap();
    for figures in real["itl"].as_array().unwrap() {
        let batch = figures["batch"].as_u64().unwrap();
        let mut core = engine();
        for id in 1..=batch {
            let request = request(32, u32::try_from(id).unwrap(), 96);
            core.arrive(Duration::ZERO, RequestId(id), request, &mut Vec::new());
        }
        let tokens = tokens_of(&run(&mut core, Duration::MAX), batch);
        close(&format!("batch {batch}"), (tokens[95] - tokens[0]) / 95, &figures["ms"]);
    }
}

#[test]
fn a_long_prefill_holds_up_a_decode() {
    let real: Value = serde_json::from_str(REAL).unwrap();
    let mut core = engine();
    core.arrive(Duration::ZERO, RequestId(1), request(32, 1, 96), &mut Vec::new());
    let arrival = Duration::from_millis(300);
    let mut log = run(&mut core, arrival);
    core.arrive(arrival, RequestId(2), request(1900, 2, 2), &mut Vec::new());
    log.extend(run(&mut core, Duration::MAX));
    let tokens = tokens_of(&log, 1);
    let gap = tokens.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    close("gap", gap, &real["disturbed"]["longest_gap_ms"]);
}
