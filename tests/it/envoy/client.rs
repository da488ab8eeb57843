//! Clients, well-behaved and not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{HeaderMap, Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// vLLM refuses what does not say so.
const JSON: &str = "application/json";

/// What came back.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
    /// The same as it came.
    pub(super) bytes: Bytes,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The pod that answered, by Envoy's word.
    pub(super) fn served_by(&self) -> SocketAddr {
        let address = self.header("x-served-by").and_then(|address| address.parse().ok());
        address.unwrap_or_else(|| panic!("nobody served it: {self:?}"))
    }

    /// A value of the decision header.
    pub(super) fn decision(&self, key: &str) -> Option<&str> {
        let decision = self.header("x-llm-picker-decision")?;
        decision.split(';').find_map(|part| part.strip_prefix(key)?.strip_prefix('='))
    }

    /// The message of an error in the OpenAI envelope.
    pub(super) fn error(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).expect("the error body is no JSON");
        let message = body.pointer("/error/message").and_then(Value::as_str);
        message.unwrap_or_else(|| panic!("no error.message in {body}")).to_owned()
    }
}

/// POSTs over a connection of its own, so that any worker may get it.
pub(super) async fn post(
    to: SocketAddr,
    path: &str,
    headers: &[(&str, String)],
    body: impl Into<Bytes>,
) -> Reply {
    let mut request = Request::post(path).header("host", "gateway").header("content-type", JSON);
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let stream = TcpStream::connect(to).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let response = sender.send_request(request.body(Full::new(body.into())).unwrap()).await;
    let (head, body) = response.expect("no answer").into_parts();
    // A pod that dies midway leaves a body without an end: what came is what counts.
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let text = String::from_utf8_lossy(&body).into_owned();
    Reply { status: head.status.as_u16(), headers: head.headers, body: text, bytes: body }
}

/// A chat request with this one message.
pub(super) fn chat_body(prompt: &str) -> String {
    let messages = json!([{"role": "user", "content": prompt}]);
    json!({"model": "tiny", "max_tokens": 1, "messages": messages}).to_string()
}

/// Asks the model.
pub(super) async fn chat(to: SocketAddr, prompt: &str) -> Reply {
    chat_with(to, prompt, &[]).await
}

/// Asks the model with headers of the client's own.
pub(super) async fn chat_with(to: SocketAddr, prompt: &str, headers: &[(&str, String)]) -> Reply {
    post(to, "/v1/chat/completions", headers, chat_body(prompt)).await
}

/// Sends bytes as they are and reads until the gateway closes: what no HTTP library would send.
pub(super) async fn raw(to: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    // The gateway may answer and close before it has read it all; what it said counts.
    let written = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    while let Ok(1..) = stream.read_buf(&mut answer).await {}
    assert!(written.is_ok() || !answer.is_empty(), "reset without an answer: {written:?}");
    String::from_utf8_lossy(&answer).into_owned()
}
