//! Pods that refuse, hang or break off.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{net::SocketAddr, time::Duration};

use stack::Way;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::{
    client::{Reply, chat, chat_body},
    push,
    routing::long_prompt,
    upstream, world,
};

/// An address that refuses connections: bound to the end of the process, so that no other test gets it, and not listened at.
pub(super) fn nobody() -> SocketAddr {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    std::mem::forget(socket);
    address
}

#[tokio::test]
async fn where_pods_refuse_another_is_tried() {
    let nobody = nobody();
    let somebody = upstream::answers().await;
    world::tell_in_every_way(
        |stack| stack.upstreams(vec![nobody, somebody]).without_scraper(),
        async |stack| {
            push::snapshot(stack, 1, &[nobody, somebody]).await;
            for number in 0..10 {
                let reply = chat(stack.gateway, &long_prompt(&number.to_string())).await;
                if stack.way.fails_over() {
                    assert_eq!((reply.status, reply.served_by()), (200, somebody), "{reply:?}");
                } else {
                    assert!([200, 503].contains(&reply.status), "{reply:?}");
                }
            }
        },
    )
    .await;
}

/// The first of the list is dead, so the second has the prefix: the next request with it is sent there at once.
#[tokio::test]
async fn a_prefix_is_where_it_was_served() {
    let nobody = nobody();
    let somebody = upstream::answers().await;
    let fails_over = Way::ALL.into_iter().filter(|way| way.fails_over());
    for way in fails_over {
        let stack = world::stack().way(way).upstreams(vec![nobody, somebody]).without_scraper();
        world::tell(stack, async |stack| {
            push::snapshot(stack, 1, &[nobody, somebody]).await;
            let mut moved = 0;
            for number in 0..20 {
                let prompt = long_prompt(&number.to_string());
                let first = chat(stack.gateway, &prompt).await;
                let second = chat(stack.gateway, &prompt).await;
                for reply in [&first, &second] {
                    assert_eq!((reply.status, reply.served_by()), (200, somebody), "{reply:?}");
                }
                let endpoint = |reply: &Reply| reply.decision("endpoint").unwrap().to_owned();
                assert_eq!(endpoint(&second), somebody.to_string(), "{second:?}");
                moved += usize::from(endpoint(&first) == nobody.to_string());
            }
            assert!(moved > 0, "nobody was sent to the dead pod first");
        })
        .await;
    }
}

#[tokio::test]
async fn a_pod_that_resets_at_once_is_passed_over() {
    let bad = upstream::resets_at_once().await;
    let good = upstream::answers().await;
    world::tell_in_every_way(
        |stack| stack.upstreams(vec![bad, good]).without_scraper(),
        async |stack| {
            push::snapshot(stack, 1, &[bad, good]).await;
            for number in 0..10 {
                let reply = chat(stack.gateway, &long_prompt(&number.to_string())).await;
                if stack.way.fails_over() {
                    assert_eq!((reply.status, reply.served_by()), (200, good), "{reply:?}");
                } else {
                    assert!([200, 503].contains(&reply.status), "{reply:?}");
                }
            }
        },
    )
    .await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_passed_on_as_far_as_it_came() {
    let pod = upstream::resets_midway().await;
    world::tell_in_every_way(
        |stack| stack.upstreams(vec![pod]).without_scraper(),
        async |stack| {
            push::snapshot(stack, 1, &[pod]).await;
            for _ in 0..5 {
                assert_eq!(chat(stack.gateway, "tell me").await.status, 200);
            }
        },
    )
    .await;
}

#[tokio::test]
async fn a_pod_that_hangs_is_left_as_soon_as_it_is_noticed() {
    world::tell_in_every_way(
        |stack| stack.endpoints(2),
        async |stack| {
            let prompt = long_prompt("glaciers");
            let home = chat(stack.gateway, &prompt).await.served_by();
            stack.pods.iter_mut().find(|pod| pod.addr == home).unwrap().freeze().await.unwrap();
            // Clients that asked too early give up; what they leave behind must not matter.
            let moved = world::until(async || {
                let attempt = timeout(Duration::from_millis(300), chat(stack.gateway, &prompt));
                let reply = attempt.await.ok()?;
                (reply.status == 200 && reply.served_by() != home).then(|| reply.served_by())
            })
            .await;
            assert_eq!(chat(stack.gateway, &prompt).await.served_by(), moved);
        },
    )
    .await;
}

/// Holding back is what a filter that reads responses is tempted to do.
#[tokio::test]
async fn each_token_arrives_before_the_next_is_made() {
    for way in Way::ALL {
        let (pod, tokens) = upstream::streams_on_command().await;
        world::tell(
            world::stack().way(way).upstreams(vec![pod]).without_scraper(),
            async |stack| {
                push::snapshot(stack, 1, &[pod]).await;
                let body = chat_body("tell me");
                let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-length:";
                let request = format!("{head} {}\r\n\r\n{body}", body.len());
                let mut stream = TcpStream::connect(stack.gateway).await.unwrap();
                stream.write_all(request.as_bytes()).await.unwrap();
                read_until(&mut stream, "begin").await;
                for token in ["one", "two", "three"] {
                    tokens.send(token).await.unwrap();
                    read_until(&mut stream, token).await;
                }
            },
        )
        .await;
    }
}

/// Reads on until this text has come.
async fn read_until(stream: &mut TcpStream, text: &str) {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(text) {
        let count = stream.read_buf(&mut seen).await.unwrap();
        assert_ne!(count, 0, "closed before {text:?}: {}", String::from_utf8_lossy(&seen));
    }
}
