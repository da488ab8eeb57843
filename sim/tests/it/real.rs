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

/// Between a live server on a busy machine and the simulator: the recorded figures are compared
/// strictly in `calibration`, here a wrong model must show and a busy minute must not.
const RATIO_MAX: f64 = 1.5;

/// `name{labels}` of the engine's own families. Those of Python, and of paths that somebody called
/// before, may differ.
fn names(server: SocketAddr) -> BTreeSet<String> {
    let shape = page::shape(&client::get(server, "/metrics"));
    shape.into_iter().filter(|line| line.contains("vllm:")).collect()
}

#[test]
fn a_real_server_gives_the_same_figures() {
    let Ok(real) = std::env::var(SERVER) else {
        // Not `eprintln!`, which the test harness swallows: a test that did nothing must say so.
        writeln!(io::stderr(), "DID NOT RUN: {SERVER} is not set: no real vLLM to compare with")
            .unwrap();
        return;
    };
    let real: SocketAddr = real.parse().unwrap();
    let options = ["vllm-sim", "--port", "0", "--block-size", "32", "--max-num-seqs", "8"];
    let options = options.into_iter().chain(["--max-model-len", "2048"]);
    let options = options.chain(["--num-gpu-blocks-override", "256"]);
    let simulated = Server::start(<Options as clap::Parser>::parse_from(options)).unwrap();
    // Prompts that neither server has seen: the cold ones must be cold.
    let seed = std::process::id();
    let (theirs, ours) = (figures::measure(real, seed), figures::measure(simulated.addr, seed));
    println!("{theirs:#}");
    let mut worst: f64 = 1.0;
    compare("", &theirs, &ours, &mut worst);
    assert!(worst < RATIO_MAX, "one figure differs by a factor of {worst:.2}");
    assert_eq!(names(real), names(simulated.addr));
}

/// Prints a row for every figure in milliseconds; other numbers must be equal.
fn compare(path: &str, theirs: &Value, ours: &Value, worst: &mut f64) {
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => {
            for (key, value) in theirs {
                compare(&format!("{path} {key}"), value, &ours[key], worst);
            }
        }
        (Value::Array(theirs), Value::Array(ours)) => {
            for (index, (theirs, ours)) in theirs.iter().zip(ours).enumerate() {
                compare(&format!("{path} {index}"), theirs, ours, worst);
            }
        }
        _ if path.ends_with("ms") => {
            let (real, simulated) = (theirs.as_f64().unwrap(), ours.as_f64().unwrap());
            let ratio = simulated / real;
            println!("{path:>30}: real {real:8.1}, simulated {simulated:8.1} ms, ratio {ratio:.2}");
            *worst = worst.max(ratio).max(1.0 / ratio);
        }
        _ => assert_eq!(theirs, ours, "{path}"),
    }
}
