//! The simulator beside a live vLLM, driven by one client.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    net::SocketAddr,
};

use serde_json::Value;
use sim::{Options, Server};

use crate::{client, figures, page};

/// Names the server: `127.0.0.1:8000`, with the flags that `data/real-vllm-0.32.json` lists.
const SERVER: &str = "LLM_PICKER_REAL_VLLM";

/// Between a live server and the simulator, in either direction. The recorded figures are compared
/// more strictly in `calibration`.
const RATIO_MAX: f64 = 1.3;

/// Measurements of the real server, of which the least figures count, while they differ too much.
const ROUNDS: u32 = 3;

/// `name{labels}` of the engine's own families. Those of Python, and of paths that somebody called
/// before, may differ.
fn names(server: SocketAddr) -> BTreeSet<String> {
    let shape = page::shape(&client::get(server, "/metrics"));
    shape.into_iter().filter(|line| line.contains("vllm:")).collect()
}

/// The real server, or a plain word that the test did nothing.
fn real_server() -> Option<SocketAddr> {
    let Ok(server) = std::env::var(SERVER) else {
        // Not `eprintln!`, which the test harness swallows: a test that did nothing must say so.
        let word = format!("DID NOT RUN: {SERVER} is not set: no real vLLM to compare with\n");
        io::stderr().write_all(word.as_bytes()).unwrap();
        return None;
    };
    Some(server.parse().unwrap())
}

/// A simulator with the settings of the real server.
fn simulated() -> Server {
    let options = ["vllm-sim", "--port", "0", "--block-size", "32", "--max-num-seqs", "8"];
    let options = options.into_iter().chain(["--max-model-len", "2048"]);
    let options = options.chain(["--num-gpu-blocks-override", "256"]);
    Server::start(<Options as clap::Parser>::parse_from(options)).unwrap()
}

#[test]
fn a_real_server_has_the_same_metrics() {
    let Some(real) = real_server() else { return };
    let simulated = simulated();
    let (theirs, ours) = (names(real), names(simulated.addr));
    println!("{} names with labels on both pages", theirs.len());
    assert_eq!(theirs, ours);
}

#[test]
fn a_real_server_gives_the_same_figures() {
    let Some(real) = real_server() else { return };
    // Prompts that neither server has seen: the cold ones must be cold.
    let seed = std::process::id();
    let ours = figures::measure(simulated().addr, seed);
    let mut theirs = Value::Null;
    for round in 0..ROUNDS {
        theirs = least(theirs, figures::measure(real, seed + 1_000_000 * round));
        println!("after round {round}:");
        report("", &theirs, &ours);
        if differs_by(&theirs, &ours) < RATIO_MAX {
            break;
        }
    }
    let worst = differs_by(&theirs, &ours);
    assert!(worst < RATIO_MAX, "one figure differs by a factor of {worst:.2}");
}

/// The smaller of each two figures: what else runs on the machine only adds.
fn least(one: Value, other: Value) -> Value {
    match (one, other) {
        (Value::Null, other) => other,
        (Value::Object(one), Value::Object(mut other)) => {
            let merge = |(key, value)| {
                let least = least(value, other.remove(&key).unwrap_or_default());
                (key, least)
            };
            Value::Object(one.into_iter().map(merge).collect())
        }
        (Value::Array(one), Value::Array(other)) => {
            one.into_iter().zip(other).map(|(one, other)| least(one, other)).collect()
        }
        (one, other) if one.as_f64() > other.as_f64() => other,
        (one, _) => one,
    }
}

/// The worst ratio, above 1, between two figures in milliseconds.
fn differs_by(theirs: &Value, ours: &Value) -> f64 {
    let ratios = figures_of("", theirs).into_iter().zip(figures_of("", ours));
    let milliseconds = ratios.filter(|((name, _), _)| name.ends_with("ms"));
    milliseconds.map(|((_, a), (_, b))| (a / b).max(b / a)).fold(1.0, f64::max)
}

/// Prints a row for every figure in milliseconds; counts must be equal.
fn report(path: &str, theirs: &Value, ours: &Value) {
    for ((name, real), (_, simulated)) in
        figures_of(path, theirs).into_iter().zip(figures_of(path, ours))
    {
        if name.ends_with("ms") {
            let ratio = simulated / real;
            println!("{name:>30}: real {real:8.1}, simulated {simulated:8.1} ms, ratio {ratio:.2}");
        } else {
            assert!((real - simulated).abs() < 0.5, "{name}: {real} and {simulated}");
        }
    }
}

/// All numbers with their paths.
fn figures_of(path: &str, value: &Value) -> Vec<(String, f64)> {
    let below = |key: &str, value| figures_of(&format!("{path} {key}"), value);
    match value {
        Value::Object(map) => map.iter().flat_map(|(key, value)| below(key, value)).collect(),
        Value::Array(list) => (0..).zip(list).flat_map(|(i, v)| below(&i.to_string(), v)).collect(),
        Value::Number(_) | Value::Null | Value::Bool(_) | Value::String(_) => {
            value.as_f64().map(|number| (path.to_owned(), number)).into_iter().collect()
        }
    }
}
