//! The EPP's hermetic tests, and the errors that a client may read, over a real Envoy.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use stack::Stack;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::sleep,
};

use super::{
    client::{Reply, chat, chat_with},
    echo, push, upstream, world,
};
use crate::hermetic::{ANSWERS, BUSY, Outcome, PASSTHROUGH, ROWS, Row, config, passthrough};

const REASON: &str = "x-llm-d-request-dropped-reason";

/// Three pods, each with an address of its own: subsets go by that.
async fn pods() -> Vec<SocketAddr> {
    let mut pods = Vec::new();
    for host in 2..=4 {
        pods.push(echo::pod_at([127, 0, 0, host].into()).await);
    }
    pods
}

/// Asks in the row's parts; what came back, with the names of headers in lower case.
async fn ask(stack: &Stack, row: &Row, pods: &[SocketAddr]) -> String {
    let method = if row.parts.is_empty() { "GET" } else { "POST" };
    let mut head =
        format!("{method} {} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n", Row::PATH);
    for (name, value) in row.headers(pods) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let length: usize = row.parts.iter().map(|part| part.len()).sum();
    head.push_str(&format!("content-type: application/json\r\ncontent-length: {length}\r\n\r\n"));
    let mut stream = TcpStream::connect(stack.gateway).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    for part in row.parts {
        // Apart from the last one, so that Envoy reads it apart.
        sleep(Duration::from_millis(2)).await;
        stream.write_all(part.as_bytes()).await.unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn tell(stack: &Stack, sequence: u64, row: &Row, pods: &[SocketAddr]) {
    push::endpoints(stack, sequence, row.endpoints(pods)).await;
    // What computes nothing goes by a look at the store that may be so old.
    sleep(Duration::from_millis(60)).await;
    let (answer, name) = (ask(stack, row, pods).await, row.name);
    let says =
        |text: String| assert!(answer.contains(&text), "{name}: {text:?} is not in {answer}");
    match row.outcome {
        Outcome::Pod(number, model) => {
            says("HTTP/1.1 200 ".to_owned());
            says(format!("x-served-by: {}\r\n", pods.get(number - 1).unwrap()));
            says(format!("x-seen-model: {}\r\n", if model.is_empty() { "none" } else { model }));
        }
        Outcome::Refused(status, reason, message) => {
            says(format!("HTTP/1.1 {status} "));
            says(message.to_owned());
            match reason {
                Some(reason) => says(format!("{REASON}: {reason}\r\n")),
                None => assert!(!answer.contains(REASON), "{name}: {answer}"),
            }
        }
    }
}

#[tokio::test]
async fn requests() {
    let pods = pods().await;
    let stack = |config| world::stack().upstreams(pods.clone()).without_scraper().plugin(config);
    world::tell(stack(config()), async |stack| {
        for (row, sequence) in ROWS.iter().zip(1..) {
            tell(stack, sequence, row, &pods).await;
        }
    })
    .await;
    // The other pool's bodies are read, by which the story's end sees that all workers live.
    let mut config = passthrough();
    let identity = config.as_object_mut().unwrap().remove("identity");
    let pools = json!([
        {"name": "default", "match": {"pathPrefix": "/v1/completions"}, "config": config},
        {"name": "other"},
    ]);
    world::tell(stack(json!({"identity": identity, "pools": pools})), async |stack| {
        tell(stack, 1, &PASSTHROUGH, &pods).await;
    })
    .await;
}

#[tokio::test]
async fn answers() {
    let mut pods = Vec::new();
    for (_, kind, parts) in ANSWERS {
        pods.push(upstream::says(kind, parts).await);
    }
    world::tell(
        world::stack().upstreams(pods.clone()).without_scraper().plugin(config()),
        async |stack| {
            for ((pod, (name, _, parts)), sequence) in pods.iter().zip(ANSWERS).zip(1..) {
                push::snapshot(stack, sequence, &[*pod]).await;
                let reply = chat(stack.gateway, "hello").await;
                assert_eq!((reply.status, reply.body), (200, parts.concat()), "{name}");
            }
        },
    )
    .await;
}

/// A request of low priority, of a profile that leaves nothing, or of one that is not there.
fn refusing() -> Value {
    let nobody = json!({"matchLabels": {"who": "nobody"}});
    let profile =
        |name: &str, plugin: &str| json!({"name": name, "plugins": [{"pluginRef": plugin}]});
    json!({
        "plugins": [
            {"type": "queue-scorer"}, {"type": "label-selector-filter", "parameters": nobody},
            {"type": "header-profile-handler", "parameters": {"defaultProfile": "default"}},
        ],
        "schedulingProfiles": [profile("default", "queue-scorer"), profile("drained", "label-selector-filter")],
        "objectives": [{"name": "batch", "priority": -1}],
    })
}

fn told(reply: &Reply) -> String {
    let header = |name: &str| reply.header(name).unwrap_or("-").to_owned();
    format!("{} {} {}: {}", reply.status, header(REASON), header("retry-after"), reply.error())
}

#[tokio::test]
async fn what_scheduling_refuses() {
    let pods = pods().await;
    let stack = world::stack().upstreams(pods.clone()).without_scraper().plugin(refusing());
    world::tell(stack, async |stack| {
        let busy = BUSY.endpoints(&pods);
        push::endpoints(stack, 1, busy).await;
        let mut all = Vec::new();
        for (header, value) in [
            ("epp-profile", "drained"),
            ("epp-profile", "nonesuch"),
            ("x-llm-d-inference-objective", "batch"),
        ] {
            let reply = chat_with(stack.gateway, "hello", &[(header, value.to_owned())]).await;
            all.push(format!("{value}: {}", told(&reply)));
        }
        insta::assert_snapshot!(all.join("\n"), @"
        drained: 429 rejected-saturated 1: no endpoints available for the given request: label-selector-filter left none
        nonesuch: 429 - 1: failed to find target endpoint: no scheduling profile is configured for the request
        batch: 429 - 1: system saturated, sheddable request dropped
        ");
    })
    .await;
}

/// Of two requests for an empty pool one waits its time, and the other finds the queue full.
#[tokio::test]
async fn what_flow_control_refuses_for_an_empty_pool() {
    let pods = pods().await;
    let flow = json!({"maxRequests": 1, "noEndpointRequestTTL": "200ms"});
    let plugin = json!({"featureGates": ["flowControl"], "flowControl": flow});
    let stack = world::stack().upstreams(pods).without_scraper().plugin(plugin);
    world::tell(stack, async |stack| {
        push::snapshot(stack, 1, &[]).await;
        let (one, other) = tokio::join!(chat(stack.gateway, "one"), chat(stack.gateway, "other"));
        let mut all = [told(&one), told(&other)];
        all.sort_unstable();
        insta::assert_snapshot!(all.join("\n"), @"
        503 rejected-no-endpoints -: no endpoints available: request rejected pre-queue: no endpoints available
        503 rejected-no-endpoints -: request timed out in queue and no endpoints are available: request evicted from queue: request TTL expired
        ");
    })
    .await;
}
