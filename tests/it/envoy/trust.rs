//! What a client may say of itself, and what one client can cost the others, over a real Envoy.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    client::{chat_body, post},
    echo, push, world,
};

const CHAT: &str = "/v1/chat/completions";

#[tokio::test]
async fn x_forwarded_for_makes_no_tenant() {
    let pod = echo::pod().await;
    let plugin = json!({"identity": {"fairnessKey": "clientAddress"}, "decisionHeader": true});
    world::tell_in_every_way(
        |stack| stack.upstreams(vec![pod]).without_scraper().plugin(plugin.clone()),
        async |stack| {
            push::snapshot(stack, 1, &[pod]).await;
            for number in 0..3 {
                let forged = [("x-forwarded-for", format!("203.0.113.{number}"))];
                let reply = post(stack.gateway, CHAT, &forged, chat_body("hello")).await;
                assert_eq!(reply.decision("fairness-id"), Some("127.0.0.1"), "{reply:?}");
            }
        },
    )
    .await;
}

#[tokio::test]
async fn a_path_has_one_spelling() {
    let pod = echo::pod().await;
    world::tell_in_every_way(
        |stack| stack.upstreams(vec![pod]).without_scraper(),
        async |stack| {
            push::snapshot(stack, 1, &[pod]).await;
            for path in
                ["/v1%2Fchat/completions", "//v1//chat/completions", "/v1/x/../chat/completions"]
            {
                let reply = post(stack.gateway, path, &[], "no JSON".to_owned()).await;
                assert_eq!(
                    reply.status, 400,
                    "{path} is read as what the pod takes it for: {reply:?}"
                );
            }
        },
    )
    .await;
}

/// Uploads that stop halfway are given up long before `request_timeout`.
#[tokio::test]
async fn an_upload_that_stops_is_given_up() {
    let pod = echo::pod().await;
    world::tell_in_every_way(
        |stack| stack.upstreams(vec![pod]).without_scraper(),
        async |stack| {
            push::snapshot(stack, 1, &[pod]).await;
            let mut stream = TcpStream::connect(stack.gateway).await.unwrap();
            let head = format!(
                "POST {CHAT} HTTP/1.1\r\nhost: gateway\r\ncontent-length: 100000\r\n\r\n{{"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            let answer = String::from_utf8_lossy(&answer).into_owned();
            assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
            assert!(answer.contains("the request body stood still for 10 s"), "{answer}");
        },
    )
    .await;
}
