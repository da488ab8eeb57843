//! A streamed chat completion over a connection of its own, as a client sees it.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// An answer, to its end.
#[derive(Clone, Debug)]
pub(crate) struct Streamed {
    /// Time from the request to the first bytes of the answer's body.
    pub(crate) first_token: Duration,
    /// Header in which the picker says what it chose, and why.
    pub(crate) decision: Option<String>,
    body: Vec<u8>,
}

/// Asks, and reads the answer until it says that it is done.
///
/// # Errors
/// Where nothing is answered, or anything but 200 and a whole stream.
pub(crate) async fn stream(
    gateway: SocketAddr,
    headers: &[(&str, &str)],
    body: &Value,
) -> Result<Streamed> {
    let begun = Instant::now();
    let stream = TcpStream::connect(gateway).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = Request::post("/v1/chat/completions")
        .header("host", "gateway")
        .header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut response =
        sender.send_request(request.body(Full::<Bytes>::from(body.to_string()))?).await?;
    ensure!(response.status() == 200, "{}", response.status());
    let decision = response.headers().get("x-llm-picker-decision");
    let decision = decision.and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut first = None;
    let mut bytes = Vec::new();
    while let Some(frame) = response.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        first.get_or_insert_with(|| begun.elapsed());
        bytes.extend_from_slice(&data);
    }
    match first {
        Some(first_token) if bytes.trim_ascii_end().ends_with(b"[DONE]") => {
            Ok(Streamed { first_token, decision, body: bytes })
        }
        _ => bail!("a stream without an end"),
    }
}

impl Streamed {
    /// Returns the events' JSON, in their order.
    pub(crate) fn events(&self) -> impl Iterator<Item = Value> {
        let lines = self.body.split(|byte| *byte == b'\n');
        let events = lines.filter_map(|line| line.strip_prefix(b"data: "));
        events.filter_map(|event| serde_json::from_slice(event).ok())
    }

    /// Returns the text of the answer.
    pub(crate) fn text(&self) -> String {
        let text = |event: Value| {
            event.pointer("/choices/0/delta/content").and_then(Value::as_str).map(str::to_owned)
        };
        self.events().filter_map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_put_together_from_the_events() {
        let body = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n\
            data: {\"choices\":[{\"delta\":{\"content\":\"one \"}}]}\n\n\
            data: {\"choices\":[{\"delta\":{\"content\":\"two\"}}]}\n\n\
            data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7}}\n\ndata: [DONE]\n\n";
        let body = body.as_bytes().to_vec();
        let streamed = Streamed { first_token: Duration::ZERO, decision: None, body };
        assert_eq!((streamed.text().as_str(), streamed.events().count()), ("one two", 4));
    }
}
