//! An Envoy whose wall clock is set while requests are held.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use stack::{Clock, Stack};
use tokio::time::sleep;

use super::crowd::gate;
use crate::envoy::{client::post, world};

const HELD: usize = 8;

/// Steps in milliseconds, each from the one before: within the skew that a signature may have, and far beyond it.
const STEPS: [i64; 6] = [11_000, 60_000, -60_000, 3_600_000, -3_600_000, 0];

/// Time between two pushes, several times over.
const FRESH_MS: u64 = 1_000;

/// Tokens of an answer that outlasts all steps on any machine, at thirteen milliseconds each: its client leaves it at the end.
const LONG: u32 = 20_000;

/// A pod that takes one request, and the scraper that tells of it.
#[tokio::test]
async fn a_wall_clock_that_is_set_evicts_none_and_stops_no_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::build(dir.path()).unwrap();
    let mut builder =
        world::stack().endpoints(1).pod_args(&["--speed", "1"]).plugin(gate(1, &json!({})));
    for (name, value) in clock.env() {
        builder = builder.envoy_env(name, value);
    }
    world::tell(builder, async |stack| {
        let first = ask(stack, LONG);
        world::until(async || (gateway(stack).await["inFlight"] == 1).then_some(())).await;
        let held: Vec<_> = (0..HELD).map(|_| ask(stack, 1)).collect();
        world::until(async || (gateway(stack).await["held"] == HELD).then_some(())).await;
        for step in STEPS {
            clock.step(step).unwrap();
            world::until(async || (hour(stack).await == hour_at(step)).then_some(())).await;
            // Snapshots of before the step do not count.
            sleep(Duration::from_millis(FRESH_MS * 3 / 2)).await;
            let gateway = world::until(async || Some(gateway(stack).await).filter(is_fed)).await;
            assert_eq!(gateway["held"], HELD, "{step} ms: {gateway}");
        }
        assert!(!first.is_finished(), "all the while one had the only place");
        first.abort();
        for reply in held {
            assert_eq!(reply.await.unwrap(), 200);
        }
    })
    .await;
}

fn ask(stack: &Stack, tokens: u32) -> tokio::task::JoinHandle<u16> {
    let gateway = stack.gateway;
    let messages = json!([{"role": "user", "content": "hello"}]);
    let body =
        json!({"model": "tiny", "max_tokens": tokens, "ignore_eos": true, "messages": messages});
    tokio::spawn(async move {
        post(gateway, "/v1/chat/completions", &[], body.to_string()).await.status
    })
}

/// The hour of the day by Envoy's clock, as it dates its answers.
async fn hour(stack: &Stack) -> i64 {
    let reply = post(stack.gateway, "/v1/chat/completions", &[], "no JSON").await;
    let time = reply.header("date").unwrap().split(' ').nth(4).unwrap();
    time.split(':').next().unwrap().parse().unwrap()
}

/// The hour of the day once the clock was set by so many milliseconds.
fn hour_at(step: i64) -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    ((i64::try_from(now.as_millis()).unwrap() + step) / 3_600_000) % 24
}

/// Whether it takes snapshots: a busy machine may be late with one, a stopped feed never gets there.
fn is_fed(gateway: &Value) -> bool {
    gateway["state"] == "ok" && gateway["takenMs"].as_u64().is_some_and(|age| age < FRESH_MS)
}

/// The gateway as the scraper's status has it.
async fn gateway(stack: &Stack) -> Value {
    let status = stack::get(stack.status.unwrap(), "/api/v1/status").await.unwrap().body;
    let status: Value = serde_json::from_str(&status).unwrap();
    status.pointer("/gateways/0").unwrap().clone()
}
