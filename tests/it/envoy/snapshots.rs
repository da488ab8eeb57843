//! Snapshots that are forged, old, broken, missing.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::json;
use stack::Stack;

use super::{
    client::{chat, post, raw},
    push::{self, Push},
    routing::long_prompt,
    world,
};

/// How far a push's time may be off, in milliseconds.
const WINDOW: u64 = 30_000;

fn pods(stack: &Stack) -> Vec<std::net::SocketAddr> {
    stack.pods.iter().map(|pod| pod.addr).collect()
}

#[tokio::test]
async fn only_the_holder_of_the_secret_is_believed() {
    world::tell(world::stack().endpoints(1).without_scraper(), async |stack| {
        let good = Push::of(stack, 1, &pods(stack));
        let forged = Push { secret: "guessed".to_owned(), ..good.clone() };
        assert_eq!(forged.send(stack).await.status, 401);
        let mut changed = good.clone();
        changed.sequence = 2;
        assert_eq!(changed.send_signed(stack, good.signature()).await.status, 401);
        for signature in ["", "00", "zz", &good.signature().to_uppercase(), "\u{e9}"] {
            let reply = good.send_signed(stack, signature.to_owned()).await;
            // What has no form of a signature is a bad request, not a wrong one.
            assert!([400, 401].contains(&reply.status), "{signature:?}: {reply:?}");
            assert!(!reply.error().is_empty());
        }
        let unsigned = post(stack.ingest, "/v1/snapshot", &[], good.body.clone()).await;
        assert!([400, 401].contains(&unsigned.status), "{unsigned:?}");
        for time in [0, good.time - WINDOW - 1000, good.time + WINDOW + 5000, u64::MAX] {
            let shifted = Push { time, ..good.clone() };
            assert_eq!(shifted.send(stack).await.status, 401, "{time}");
        }
        assert_eq!(good.send(stack).await.status, 204);
    })
    .await;
}

#[tokio::test]
async fn an_old_snapshot_never_replaces_a_new_one() {
    world::tell(world::stack().endpoints(2).without_scraper(), async |stack| {
        let old = Push::of(stack, 4, &pods(stack)[..1]);
        let new = Push { sequence: 5, ..Push::of(stack, 5, &pods(stack)[1..]) };
        assert_eq!(new.send(stack).await.status, 204);
        // From several connections, so that it holds whichever worker gets it.
        for _ in 0..8 {
            assert_eq!(new.send(stack).await.status, 409, "a replay");
            assert_eq!(old.send(stack).await.status, 409, "an older one");
        }
        let reply = chat(stack.gateway, "who is there?").await;
        assert_eq!(reply.served_by(), stack.pods[1].addr);
    })
    .await;
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_read_changes_nothing() {
    world::tell(world::stack().endpoints(1).without_scraper(), async |stack| {
        push::snapshot(stack, 1, &pods(stack)).await;
        let good = Push::of(stack, 2, &pods(stack));
        for length in [0, 1, good.body.len() / 2, good.body.len() - 1] {
            let truncated = Push { body: good.body[..length].to_vec(), ..good.clone() };
            let reply = truncated.send(stack).await;
            assert_eq!(reply.status, 400, "{length} bytes: {reply:?}");
            let reply = truncated.send_signed(stack, good.signature()).await;
            // Without a body there is nothing to check a signature of.
            assert_eq!(
                reply.status,
                if length == 0 { 400 } else { 401 },
                "{length} bytes: {reply:?}"
            );
        }
        let garbage = Push { body: vec![0xff; 1000], ..good.clone() };
        assert_eq!(garbage.send(stack).await.status, 400);
        for size in [6 << 20, 9 << 20] {
            let oversized = Push { body: vec![0; size], ..good.clone() };
            assert_eq!(oversized.send(stack).await.status, 413, "{size} bytes");
        }
        let get = b"GET /v1/snapshot HTTP/1.1\r\nhost: ingest\r\nconnection: close\r\n\r\n";
        let answer = raw(stack.ingest, get).await;
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
        assert_eq!(chat(stack.gateway, "still here?").await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn a_client_of_the_gateway_cannot_push() {
    world::tell(world::stack().endpoints(1).without_scraper(), async |stack| {
        push::snapshot(stack, 1, &pods(stack)).await;
        let push = Push::of(stack, 2, &[]);
        let headers = [
            ("x-llm-picker-time", push.time.to_string()),
            ("x-llm-picker-sequence", push.sequence.to_string()),
            ("x-llm-picker-signature", push.signature()),
        ];
        post(stack.gateway, "/v1/snapshot", &headers, push.body.clone()).await;
        assert_eq!(chat(stack.gateway, "is the pool empty?").await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn without_a_snapshot_the_failure_mode_decides() {
    let mode = |mode: &str| {
        json!({
            "apiVersion": "inference.networking.x-k8s.io/v1alpha1",
            "kind": "EndpointPickerConfig",
            "failureMode": mode,
        })
    };
    world::tell_in_every_way(
        |stack| stack.endpoints(1).without_scraper().plugin(mode("FailClose")),
        async |stack| {
            let reply = chat(stack.gateway, "anybody?").await;
            assert_eq!(reply.status, 503, "{reply:?}");
            assert!(reply.error().contains("snapshot"), "{reply:?}");
        },
    )
    .await;
    world::tell_in_every_way(
        |stack| stack.endpoints(1).without_scraper().plugin(mode("FailOpen")),
        async |stack| {
            let reply = chat(stack.gateway, "anybody?").await;
            // ORIGINAL_DST has nowhere to go to without a destination.
            let expected = if stack.way.fails_over() { 200 } else { 503 };
            assert_eq!(reply.status, expected, "{reply:?}");
            assert_eq!(reply.header("x-llm-picker-decision"), None);
        },
    )
    .await;
}

#[tokio::test]
async fn an_empty_pool_is_said_to_be_empty() {
    world::tell_in_every_way(
        |stack| stack.endpoints(1).without_scraper(),
        async |stack| {
            push::snapshot(stack, 1, &[]).await;
            let reply = chat(stack.gateway, "anybody?").await;
            assert_eq!(reply.status, 503, "{reply:?}");
            assert!(!reply.error().is_empty());
        },
    )
    .await;
}

#[tokio::test]
async fn when_snapshots_stop_the_last_one_serves_on() {
    world::tell_in_every_way(
        |stack| stack.endpoints(2),
        async |stack| {
            stack.kill_scraper().await.unwrap();
            let prompt = long_prompt("rivers");
            let home = chat(stack.gateway, &prompt).await.served_by();
            let aged = world::until(async || {
                let reply = chat(stack.gateway, &prompt).await;
                assert_eq!((reply.status, reply.served_by()), (200, home), "{reply:?}");
                reply.decision("snapshot-age-ms")?.parse().ok().filter(|age: &u64| *age > 500)
            })
            .await;
            assert!(aged < 60_000, "{aged}");
            stack.pods.iter_mut().find(|pod| pod.addr == home).unwrap().kill().await.unwrap();
            if stack.way.fails_over() {
                assert_eq!(chat(stack.gateway, &prompt).await.status, 200);
            }
        },
    )
    .await;
}
