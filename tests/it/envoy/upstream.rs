//! Pods that misbehave as no simulator would.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{
        Mutex,
        mpsc::{Receiver, Sender, channel},
    },
};

const EVENT_STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// A pod that does with every request what `behave` says.
pub(super) async fn pod<F>(behave: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 1 << 20];
            // Enough of it; what these stories send is read in one go.
            if stream.read(&mut request).await.is_err() {
                continue;
            }
            tokio::spawn(behave(stream));
        }
    });
    address
}

/// A pod that does with every request what `behave` says of its text.
pub(super) async fn pod_by_request<F>(
    behave: impl Fn(String, TcpStream) -> F + Send + 'static,
) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let request = read_request(&mut stream).await;
            tokio::spawn(behave(request, stream));
        }
    });
    address
}

/// Reads a request to its end, as JSON bodies are ended.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while let Ok(1..) = stream.read_buf(&mut request).await {
        if request.ends_with(b"}") || request.ends_with(b"0\r\n\r\n") {
            break;
        }
    }
    String::from_utf8_lossy(&request).into_owned()
}

/// A pod that answers every request.
pub(super) async fn answers() -> SocketAddr {
    pod(|mut stream| async move {
        let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
        stream.write_all(answer.as_bytes()).await.unwrap_or(());
    })
    .await
}

/// A pod that answers every request with these parts, one after the other.
pub(super) async fn says(kind: &'static str, parts: &'static [&'static str]) -> SocketAddr {
    pod(move |mut stream| async move {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap_or(());
        for part in parts.iter().filter(|part| !part.is_empty()) {
            let chunk = format!("{:x}\r\n{part}\r\n", part.len());
            stream.write_all(chunk.as_bytes()).await.unwrap_or(());
            // Let it pass: what comes together is read together.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stream.write_all(b"0\r\n\r\n").await.unwrap_or(());
    })
    .await
}

/// A pod that fails every request, and says so with this status.
pub(super) async fn fails(status: u16) -> SocketAddr {
    pod(move |mut stream| async move {
        let answer =
            format!("HTTP/1.1 {status} \r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}");
        stream.write_all(answer.as_bytes()).await.unwrap_or(());
    })
    .await
}

/// A pod that resets the connection before it answers.
pub(super) async fn resets_at_once() -> SocketAddr {
    pod(|stream| async move { reset(stream) }).await
}

/// A pod that resets the connection in the middle of its answer.
pub(super) async fn resets_midway() -> SocketAddr {
    pod(|mut stream| async move {
        write_event(&mut stream, EVENT_STREAM, "half").await;
        // Let it arrive: a reset overtakes what is still on its way.
        tokio::time::sleep(Duration::from_millis(50)).await;
        reset(stream);
    })
    .await
}

/// The same, of an answer that said how long it would be.
pub(super) async fn resets_midway_of_known_length() -> SocketAddr {
    pod(|mut stream| async move {
        let part =
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{}";
        stream.write_all(part.as_bytes()).await.unwrap_or(());
        tokio::time::sleep(Duration::from_millis(50)).await;
        reset(stream);
    })
    .await
}

/// A pod that answers one request, one event for each token that it is given.
pub(super) async fn streams_on_command() -> (SocketAddr, Sender<&'static str>) {
    let (sender, receiver) = channel::<&'static str>(8);
    let receiver = Arc::new(Mutex::new(receiver));
    let address = pod(move |stream| {
        let receiver = receiver.clone();
        async move { stream_on_command(stream, &mut *receiver.lock().await).await }
    })
    .await;
    (address, sender)
}

async fn stream_on_command(mut stream: TcpStream, events: &mut Receiver<&'static str>) {
    write_event(&mut stream, EVENT_STREAM, "begin").await;
    while let Some(event) = events.recv().await {
        write_event(&mut stream, "", event).await;
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap_or(());
}

async fn write_event(stream: &mut TcpStream, before: &str, event: &str) {
    let event = format!("data: {event}\n\n");
    let chunk = format!("{before}{:x}\r\n{event}\r\n", event.len());
    stream.write_all(chunk.as_bytes()).await.unwrap_or(());
}

/// Closing without lingering is a reset.
pub(super) fn reset(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
    drop(stream);
}
