//! Request headers that a client should not send.
#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use super::{
    client::{chat, chat_body, chat_with, raw},
    routing::long_prompt,
    world,
};

/// A chat request in bytes, with this header line.
fn request_with(header: &[u8]) -> Vec<u8> {
    let body = chat_body("hello");
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        body.len()
    );
    [head.as_bytes(), header, b"\r\n\r\n", body.as_bytes()].concat()
}

#[tokio::test]
async fn a_header_byte_that_is_no_utf8_harms_nobody() {
    world::tell_in_every_way(
        |stack| stack,
        async |stack| {
            for header in [
                &b"x-a: caf\xe9"[..],
                b"x-gateway-inference-objective: caf\xe9",
                b"x-gateway-inference-fairness-id: \xff\xfe",
                b"x-gateway-destination-endpoint: \xe9",
            ] {
                let answer = raw(stack.gateway, &request_with(header)).await;
                assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            }
        },
    )
    .await;
}

#[tokio::test]
async fn a_destination_that_the_client_names_is_never_obeyed() {
    world::tell_in_every_way(
        |stack| stack.endpoints(2),
        async |stack| {
            let prompt = long_prompt("whose choice");
            let home = chat(stack.gateway, &prompt).await.served_by();
            // The admin interface is what an attacker would like to reach; a pod is what a clever client would.
            for forged in [stack.admin, stack.pods[0].addr, stack.pods[1].addr] {
                let header = |name| (name, forged.to_string());
                let once = header("x-gateway-destination-endpoint");
                let headers = [once.clone(), once, header("x-envoy-original-dst-host")];
                let reply = chat_with(stack.gateway, &prompt, &headers).await;
                assert_eq!((reply.status, reply.served_by()), (200, home), "{reply:?}");
            }
        },
    )
    .await;
}

#[tokio::test]
async fn a_destination_is_not_obeyed_where_nothing_is_decided() {
    world::tell_in_every_way(
        |stack| stack.endpoints(1).without_scraper(),
        async |stack| {
            let headers = [("x-gateway-destination-endpoint", stack.admin.to_string())];
            let reply = chat_with(stack.gateway, "no snapshot, fail open", &headers).await;
            if stack.way.fails_over() {
                assert_eq!(reply.served_by(), stack.pods[0].addr, "{reply:?}");
            } else {
                assert_eq!(reply.status, 503, "{reply:?}");
            }
        },
    )
    .await;
}
