//! Requests of other classes than inference, over a real Envoy in every way into it: websockets, and what computes nothing.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, client::conn::http2, ext::Protocol};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use stack::Stack;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{client, push, world};

/// None of these has anything to wait for.
const AT_ONCE: Duration = Duration::from_secs(5);

const SWITCHED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
const DONE: &[u8] = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";

/// A pod that echoes what comes over a websocket, never answers a chat, and answers all else.
async fn pod() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

async fn serve(mut stream: TcpStream) {
    let head = read_head(&mut stream).await;
    if head.contains("upgrade: websocket") {
        stream.write_all(SWITCHED).await.unwrap_or(());
        let mut bytes = [0; 64];
        while let Ok(count @ 1..) = stream.read(&mut bytes).await {
            stream.write_all(bytes.get(..count).unwrap()).await.unwrap_or(());
        }
    } else if head.starts_with("POST /v1/chat/completions") {
        std::future::pending::<()>().await;
    } else {
        stream.write_all(DONE).await.unwrap_or(());
    }
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        if !matches!(stream.read_buf(&mut head).await, Ok(1..)) {
            break;
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// Opens a websocket over HTTP/1.1, and has one message echoed.
async fn echo(stack: &Stack, path: &str) -> String {
    let mut socket = TcpStream::connect(stack.gateway).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: gateway\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let head = read_head(&mut socket).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{}: {head}", stack.way);
    socket.write_all(b"ping").await.unwrap();
    let mut echoed = [0; 4];
    socket.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"ping", "{}", stack.way);
    head
}

/// Opens one over HTTP/2 (RFC 8441).
async fn echo_over_http2(stack: &Stack) {
    let stream = TokioIo::new(TcpStream::connect(stack.gateway).await.unwrap());
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    // The gateway says first that it takes such requests.
    sender.ready().await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let request = Request::connect("http://gateway/v1/realtime")
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .body(Empty::<Bytes>::new());
    let response = sender.send_request(request.unwrap()).await.unwrap();
    assert_eq!(response.status(), 200, "{}", stack.way);
    let mut socket = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    socket.write_all(b"ping").await.unwrap();
    let mut echoed = [0; 4];
    socket.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"ping", "{}", stack.way);
}

/// A client that looks for a pod's health while all pods are busy.
async fn ask(stack: &Stack, method: &str, path: &str) {
    let stream = TokioIo::new(TcpStream::connect(stack.gateway).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder().method(method).uri(path).header("host", "gateway");
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let reply = timeout(AT_ONCE, sender.send_request(request)).await;
    let reply = reply.unwrap_or_else(|_| unreachable!("{}: {method} {path} waits", stack.way));
    let reply = reply.unwrap();
    assert_eq!(reply.status(), 200, "{}: {method} {path}", stack.way);
    drop(reply.into_body().collect().await);
}

#[tokio::test]
async fn websockets_open_and_nothing_else_waits_behind_a_full_pool_in_every_way() {
    let pod = pod().await;
    let detector = json!({"type": "concurrency-detector", "parameters": {"maxConcurrency": 2}});
    let config = json!({
        "featureGates": ["flowControl"], "plugins": [detector], "failureMode": "FailClose",
        "decisionHeader": true,
        "flowControl": {"saturationDetector": {"pluginRef": "concurrency-detector"}},
    });
    let setup = |builder: stack::Builder| {
        builder.plugin(config.clone()).upstreams(vec![pod]).without_scraper()
    };
    world::tell_in_every_way(setup, async |stack: &mut Stack| {
        push::snapshot(stack, 1, &[pod]).await;
        for path in ["/v1/realtime", "/v1/responses", "/v1/chat/completions"] {
            let head = timeout(AT_ONCE, echo(stack, path)).await.unwrap();
            assert!(head.contains("x-llm-picker-decision"), "{}: placed: {head}", stack.way);
        }
        timeout(AT_ONCE, echo_over_http2(stack)).await.unwrap();
        // Two that never end, and the pool is full.
        let gateway = stack.gateway;
        let running =
            [0, 1].map(|_| tokio::spawn(async move { client::chat(gateway, "hello").await }));
        tokio::time::sleep(Duration::from_millis(300)).await;
        for (method, path) in [
            ("GET", "/health"),
            ("GET", "/v1/models"),
            ("OPTIONS", "/v1/chat/completions"),
            ("POST", "/v1/responses/r1/cancel"),
        ] {
            ask(stack, method, path).await;
        }
        running.iter().for_each(tokio::task::JoinHandle::abort);
    })
    .await;
}
