//! Request bodies: bad ones, huge ones, unfinished ones.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use stack::Stack;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use super::{
    client::{chat, post, raw},
    world,
};

/// More than the 32 MiB that the bootstraps and the plugin allow.
const TOO_LARGE: usize = 33 << 20;

const CHAT: &str = "/v1/chat/completions";

#[tokio::test]
async fn a_body_that_says_nothing_is_answered_by_the_filter() {
    world::tell_in_every_way(
        |stack| stack.endpoints(1),
        async |stack| {
            // Without a model it is for the one that the pod has.
            let unnamed = r#"{"messages": [{"role": "user", "content": "no model"}]}"#;
            assert_eq!(post(stack.gateway, CHAT, &[], unnamed).await.status, 200);
            for body in [
                "",
                "{",
                "[]",
                "null",
                "\u{0}",
                r#"{"model": "tiny"}"#,
                r#"{"model": 1, "messages": []}"#,
                r#"{"model": "tiny", "messages": "no list"}"#,
            ] {
                let reply = post(stack.gateway, CHAT, &[], body).await;
                assert_eq!(reply.status, 400, "{body:?}: {reply:?}");
                if reply.header("x-served-by").is_none() && !body.is_empty() {
                    assert!(!reply.error().is_empty(), "{body:?}");
                }
            }
        },
    )
    .await;
}

#[tokio::test]
async fn a_body_that_is_no_text_is_refused() {
    world::tell_in_every_way(
        |stack| stack.endpoints(1),
        async |stack| {
            let body = b"{\"model\": \"tiny\", \"messages\": [{\"role\": \"user\", \"content\": \"\xff\xfe\"}]}";
            let reply = post(stack.gateway, CHAT, &[], &body[..]).await;
            assert_eq!(reply.status, 400, "{reply:?}");
        },
    )
    .await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    world::tell_in_every_way(|stack| stack.endpoints(1), over_the_limit_is_refused).await;
}

/// By its declared length, and by what comes.
pub(super) async fn over_the_limit_is_refused(stack: &mut Stack) {
    let declared = post(stack.gateway, CHAT, &[], vec![b' '; TOO_LARGE]).await;
    assert_eq!(declared.status, 413, "{declared:?}");
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\
                transfer-encoding: chunked\r\n\r\n";
    let chunk = format!("100000\r\n{}\r\n", " ".repeat(1 << 20));
    // To the end: the answer waits for it.
    let chunked = format!("{head}{}0\r\n\r\n", chunk.repeat(TOO_LARGE >> 20));
    let answer = raw(stack.gateway, chunked.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_prompt_of_four_megabytes_is_placed() {
    world::tell_in_every_way(|stack| stack.endpoints(2), four_megabytes_are_placed).await;
}

/// Far beyond what Envoy buffers by itself.
pub(super) async fn four_megabytes_are_placed(stack: &mut Stack) {
    let prompt = "to be or not \\ to be\n".repeat(200_000);
    let first = chat(stack.gateway, &prompt).await;
    let second = chat(stack.gateway, &prompt).await;
    // A pod may find it too long for its model; placed it was all the same.
    assert_eq!(first.served_by(), second.served_by(), "{first:?} {second:?}");
    assert!(second.status < 500, "{second:?}");
}

#[tokio::test]
async fn a_client_that_leaves_halfway_leaves_nothing_behind() {
    world::tell_in_every_way(
        |stack| stack.endpoints(1),
        async |stack| {
            let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-length: 200000\r\n\r\n";
            for sent in [0, 1, 100_000] {
                let mut stream = TcpStream::connect(stack.gateway).await.unwrap();
                stream.write_all(format!("{head}{}", "{".repeat(sent)).as_bytes()).await.unwrap();
                world::until(async || (world::active_requests(stack).await > 0).then_some(())).await;
                drop(stream);
                world::until(async || (world::active_requests(stack).await == 0).then_some(())).await;
            }
            assert_eq!(chat(stack.gateway, "still here?").await.status, 200);
        },
    )
    .await;
}

#[tokio::test]
async fn what_has_no_body_passes() {
    world::tell_in_every_way(|stack| stack.endpoints(1), without_a_body_passes).await;
}

/// To any pod.
pub(super) async fn without_a_body_passes(stack: &mut Stack) {
    let answer = raw(
        stack.gateway,
        b"GET /v1/models HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("\"tiny\""), "{answer}");
}
