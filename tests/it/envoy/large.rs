//! A pool as large as a pool may be, pushed and fetched; one endpoint more, and a body that nobody signed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::{net::SocketAddr, sync::Arc};

use picker_core::{Endpoint, Health, Snapshot};
use serde_json::json;
use stack::Stack;
use tokio::io::AsyncWriteExt as _;
use wire::snapshot::ENDPOINTS_MAX;

use super::{
    client::{chat, post},
    pull,
    push::{self, Push},
    upstream, world,
};

/// Labels of a pod of a large chart.
const LABELS: usize = 12;

/// The most endpoints that a pool has, of which the last few are the stack's pods and up.
fn endpoints(pods: &[SocketAddr]) -> Vec<Endpoint> {
    let others = ENDPOINTS_MAX - pods.len();
    let other = |n: usize| {
        let number = u32::try_from(n).unwrap() + (127 << 24 | 1 << 16);
        Endpoint {
            health: Health::Down,
            ..push::idle(SocketAddr::from((std::net::Ipv4Addr::from(number), 9)))
        }
    };
    let all = (0..others).map(other).chain(pods.iter().copied().map(push::idle));
    all.enumerate().map(|(n, endpoint)| Endpoint { labels: labels(n), ..endpoint }).collect()
}

/// As Kubernetes, a chart and a Deployment set them, some with a value of the pod's own.
fn labels(pod: usize) -> Vec<(String, String)> {
    let label = |n: usize| match n % 3 {
        0 => (format!("app.kubernetes.io/label-{n:02}"), format!("value-{n}-of-all-pods")),
        1 => (format!("example.com/label-{n:02}"), format!("value-{}", pod % 16)),
        _ => (format!("label-{n:02}"), format!("deployment-6c9d7f8b5-{pod:05}")),
    };
    (0..LABELS).map(label).collect()
}

fn snapshot(pods: &[SocketAddr]) -> Snapshot {
    Snapshot { pool: "default".to_owned(), endpoints: endpoints(pods), ..Snapshot::default() }
}

fn pods(stack: &Stack) -> Vec<SocketAddr> {
    stack.pods.iter().map(|pod| pod.addr).collect()
}

async fn is_picked(stack: &Stack) {
    let reply = chat(stack.gateway, "hello").await;
    assert!(reply.status == 200 && reply.header("x-llm-picker-decision").is_some(), "{reply:?}");
}

#[tokio::test]
async fn the_largest_pool_arrives_in_every_way_and_one_endpoint_more_is_refused() {
    let plugin = json!({"failureMode": "FailClose", "decisionHeader": true});
    let setup =
        |builder: stack::Builder| builder.endpoints(2).plugin(plugin.clone()).without_scraper();
    world::tell_in_every_way(setup, async |stack| {
        let whole = Push::of_snapshot(stack, 1, &snapshot(&pods(stack)));
        let size = whole.body.len();
        assert!((1 << 20..4 << 20).contains(&size), "{size} bytes");
        let reply = whole.send(stack).await;
        assert_eq!(reply.status, 204, "{size} bytes: {reply:?}");
        is_picked(stack).await;
        let larger = Push { sequence: 2, body: one_more(stack), ..whole.clone() };
        let reply = larger.send(stack).await;
        assert_eq!(reply.status, 400, "{reply:?}");
        assert!(reply.error().contains("endpoints out of bounds; allowed: 4,096"), "{reply:?}");
        is_picked(stack).await;
        let beyond = Push { body: vec![0; (4 << 20) + 1], ..whole };
        let reply = beyond.send(stack).await;
        assert_eq!(reply.status, 413, "{reply:?}");
        assert!(reply.error().contains("see ingest.maxBytes"), "the plugin's words: {reply:?}");
    })
    .await;
}

/// A snapshot of 4,097 endpoints, which no encoder of ours makes: one endpoint again and again.
fn one_more(stack: &Stack) -> Vec<u8> {
    let pod = push::idle(pods(stack)[0]);
    let of = |count: usize| {
        let endpoints = vec![pod.clone(); count];
        let snapshot = Snapshot { pool: "default".into(), endpoints, ..Snapshot::default() };
        wire::snapshot::encode(&snapshot).unwrap()
    };
    let (one, two) = (of(1), of(2));
    let at = one.iter().zip(&two).position(|(a, b)| a != b).unwrap();
    let endpoint = &one[at + 1..=at + two.len() - one.len()];
    let rest = &one[at + 1 + endpoint.len()..];
    let count = u8::try_from(ENDPOINTS_MAX % 128 + 1).unwrap() | 0x80;
    let count = [count, u8::try_from(ENDPOINTS_MAX / 128).unwrap()];
    [&one[..at], &count, &endpoint.repeat(ENDPOINTS_MAX + 1), rest].concat()
}

/// Head and body of an answer.
type Mirrored = (String, Vec<u8>);

#[tokio::test]
async fn the_largest_pool_is_fetched() {
    let mirror: Arc<std::sync::Mutex<Option<Mirrored>>> = Arc::default();
    let answer = Arc::clone(&mirror);
    let scraper = upstream::pod(move |mut stream| {
        let ready = answer.lock().unwrap().clone();
        async move {
            let unchanged = || ("HTTP/1.1 304 Not Modified\r\n".to_owned(), Vec::new());
            let (head, body) = ready.unwrap_or_else(unchanged);
            let length = body.len();
            let head = format!("{head}content-length: {length}\r\nconnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap_or(());
            stream.write_all(&body).await.unwrap_or(());
        }
    })
    .await;
    let plugin =
        json!({"failureMode": "FailClose", "decisionHeader": true, "pull": {"cluster": "scraper"}});
    let template = pull::template(scraper.port());
    let builder = world::stack().endpoints(2).plugin(plugin).without_scraper().template(template);
    world::tell(builder, async |stack| {
        let whole = Push::of_snapshot(stack, 1, &snapshot(&pods(stack)));
        assert!(whole.body.len() > 1 << 20);
        let headers = whole.headers(whole.signature());
        let lines: String =
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        *mirror.lock().unwrap() = Some((format!("HTTP/1.1 200 OK\r\n{lines}"), whole.body.clone()));
        world::until(async || (chat(stack.gateway, "hello").await.status == 200).then_some(()))
            .await;
        is_picked(stack).await;
    })
    .await;
}

/// The answer comes before the body: of a stranger's four megabytes Envoy buffers none.
#[tokio::test]
async fn nobody_without_a_signature_has_a_body_buffered() {
    world::tell(world::stack().endpoints(1).without_scraper(), async |stack| {
        let body = vec![0; 4 << 20];
        let reply = post(stack.ingest, "/v1/snapshot", &[], body).await;
        assert_eq!(reply.status, 401, "{reply:?}");
        // The headers alone, with a body that never comes.
        let head = b"POST /v1/snapshot HTTP/1.1\r\nhost: x\r\ncontent-length: 4194304\r\n\r\n";
        let said = super::client::raw(stack.ingest, head).await;
        assert!(said.starts_with("HTTP/1.1 401 "), "{said}");
    })
    .await;
}
