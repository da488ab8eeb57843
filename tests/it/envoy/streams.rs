//! Streams of real servers through a real Envoy: headers before tokens, and forms that only the wire has.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{net::SocketAddr, time::Duration};

use serde_json::json;
use tokio::{io::AsyncWriteExt as _, time::sleep};

use super::{
    client::{chat_body, post, raw},
    push, upstream, world,
};

const CHAT: &str = "/v1/chat/completions";

/// A pod computes a prompt that begins like this for so long.
const LONG: &str = "a long tale";
const COMPUTES: Duration = Duration::from_secs(4);

const HEAD: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// A pod that sends headers, a comment and the role at once, and a word when the prompt is computed.
async fn computes() -> SocketAddr {
    upstream::pod_by_request(|request, mut stream| async move {
        let role =
            "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
        let early = format!("{HEAD}{}{}", chunk(": keep-alive\n\n"), chunk(role));
        stream.write_all(early.as_bytes()).await.unwrap_or(());
        if request.contains(LONG) {
            sleep(COMPUTES).await;
        }
        let word = chunk("data: {\"choices\":[{\"delta\":{\"content\":\"word\"}}]}\n\n");
        stream.write_all(format!("{word}0\r\n\r\n").as_bytes()).await.unwrap_or(());
    })
    .await
}

#[tokio::test]
async fn no_short_request_goes_beside_a_long_prompt_whose_headers_came() {
    let pods = [computes().await, computes().await, computes().await];
    world::tell_in_every_way(
        |stack| stack.upstreams(pods.to_vec()).without_scraper(),
        async |stack| {
            push::snapshot(stack, 1, &pods).await;
            let gateway = stack.gateway;
            let tale = chat_body(&format!("{LONG} ").repeat(34_000));
            let long = tokio::spawn(async move { post(gateway, CHAT, &[], tale).await });
            sleep(Duration::from_millis(700)).await;
            let mut short = Vec::new();
            for number in 0..16 {
                let body = chat_body(&format!("number {number}"));
                short.push(post(gateway, CHAT, &[], body).await.served_by());
            }
            assert!(!long.is_finished(), "the long prompt was computed too soon to tell");
            let busy = long.await.unwrap().served_by();
            assert!(!short.contains(&busy), "{}: {busy} of {short:?}", stack.way);
        },
    )
    .await;
}

/// Answers as bytes on a connection, each with the body that the client is to see of it.
const FORMS: [(&str, &str); 6] = [
    // Bare carriage returns, and no `[DONE]`.
    (
        "content-type: text/event-stream\r\ncontent-length: 46\r\n\r\ndata: {\"choices\":[{\"text\":\"a word\"}]}\r\r: end\r\r",
        "data: {\"choices\":[{\"text\":\"a word\"}]}\r\r: end\r\r",
    ),
    (
        "content-type: application/x-ndjson\r\ncontent-length: 43\r\n\r\n{\"message\":{\"content\":\"x\"}}\n{\"done\":true}\n\n",
        "{\"message\":{\"content\":\"x\"}}\n{\"done\":true}\n\n",
    ),
    // Compressed, of which nothing is read.
    (
        "content-type: text/event-stream\r\ncontent-encoding: gzip\r\ncontent-length: 24\r\n\r\nnothing that can be read",
        "nothing that can be read",
    ),
    // Trailers behind chunks.
    (
        "content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n9\r\ndata: x\n\n\r\n0\r\nx-last: 1\r\n\r\n",
        "data: x\n\n",
    ),
    // An error in place of content, with a status of 200.
    (
        "content-type: application/json\r\ncontent-length: 24\r\n\r\n{\"error\":{\"code\": 400 }}",
        "{\"error\":{\"code\": 400 }}",
    ),
    // No length, and no end but that of the connection.
    (
        "content-type: text/event-stream\r\n\r\ndata: {\"text\":\"x\"}\n\n",
        "data: {\"text\":\"x\"}\n\n",
    ),
];

#[tokio::test]
async fn every_form_of_a_stream_passes_as_it_is() {
    let pod = upstream::pod_by_request(|request, mut stream| async move {
        let number: usize = request.split("form ").nth(1).unwrap()[..1].parse().unwrap();
        let hints = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
        let answer = format!("{hints}HTTP/1.1 200 OK\r\nconnection: close\r\n{}", FORMS[number].0);
        stream.write_all(answer.as_bytes()).await.unwrap_or(());
    })
    .await;
    let fair = json!({
        "plugins": [{"type": "token-fair-fairness-policy"}],
        "featureGates": ["flowControl"],
        "flowControl": {"defaultPriorityBand": {"fairnessPolicyRef": "token-fair-fairness-policy"}},
    });
    world::tell_in_every_way(
        |stack| stack.upstreams(vec![pod]).without_scraper().plugin(fair.clone()),
        async |stack| {
            push::snapshot(stack, 1, &[pod]).await;
            for (number, (_, body)) in FORMS.iter().enumerate() {
                let ask = chat_body(&format!("form {number}"));
                let reply = post(stack.gateway, CHAT, &[], ask.clone()).await;
                assert_eq!((reply.status, reply.body.as_str()), (200, *body), "{}", stack.way);
                // An old client, which knows no chunks.
                let request = format!(
                    "POST {CHAT} HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{ask}",
                    ask.len()
                );
                let answer = raw(stack.gateway, request.as_bytes()).await;
                let (head, rest) = answer.split_once("\r\n\r\n").unwrap();
                assert!(head.starts_with("HTTP/1.0 200") || head.starts_with("HTTP/1.1 200"), "{head}");
                assert!(!head.contains("chunked"), "{head}");
                assert_eq!(rest, *body, "{}: HTTP/1.0", stack.way);
            }
            world::until(async || (world::active_requests(stack).await == 0).then_some(())).await;
        },
    )
    .await;
}
