//! A pod that speaks the OpenAI and the Anthropic API well enough for their clients, and says in its answers what it
//! was sent.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// Headers that come back as `x-seen-…`.
const SEEN: [&str; 6] = [
    "traceparent",
    "x-request-id",
    "x-vllm-priority",
    "x-llm-d-inference-fairness-id",
    "x-gateway-destination-endpoint-subset",
    "x-prefiller-host-port",
];

/// A request as it reached the pod.
struct Asked {
    head: String,
    body: Value,
}

/// Starts one.
pub(super) async fn pod() -> SocketAddr {
    pod_at(Ipv4Addr::LOCALHOST).await
}

/// Starts one at an address of its own.
pub(super) async fn pod_at(host: Ipv4Addr) -> SocketAddr {
    let listener = TcpListener::bind((host, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

async fn serve(mut stream: TcpStream) {
    let Some(asked) = read(&mut stream).await else { return };
    let (kind, body) = asked.answer();
    let seen =
        SEEN.iter().filter_map(|name| Some(format!("x-seen-{name}: {}\r\n", asked.header(name)?)));
    let head = format!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: {kind}\r\nx-seen-model: {}\r\n{}content-length: {}\r\n\r\n",
        asked.model(),
        seen.collect::<String>(),
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap_or(());
    stream.write_all(body.as_bytes()).await.unwrap_or(());
}

/// The whole request; nothing if the client leaves first.
async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let asked = Asked { head: head.to_owned(), body: Value::Null };
        let length: usize = asked.header("content-length").map_or(0, |it| it.parse().unwrap());
        if body.len() >= length {
            return Some(Asked { body: serde_json::from_str(body).unwrap_or_default(), ..asked });
        }
    }
}

impl Asked {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).last()
    }

    fn model(&self) -> &str {
        self.body["model"].as_str().unwrap_or("none")
    }

    /// The content type and the body.
    fn answer(&self) -> (&'static str, String) {
        let streamed = self.body["stream"] == true;
        let path = self.head.split(' ').nth(1).unwrap();
        let parts = match path.split('?').next().unwrap() {
            "/v1/messages/count_tokens" => vec![json!({"input_tokens": 21})],
            "/v1/messages" if streamed => self.anthropic_events(),
            "/v1/messages" => vec![self.anthropic_message()],
            _ if streamed => self.openai_chunks(),
            _ => vec![self.openai_completion()],
        };
        if !streamed {
            return ("application/json", parts.iter().map(Value::to_string).collect());
        }
        let event = |part: &Value| {
            let name =
                part["type"].as_str().map(|name| format!("event: {name}\n")).unwrap_or_default();
            format!("{name}data: {part}\n\n")
        };
        let end = if path.contains("messages") { "" } else { "data: [DONE]\n\n" };
        ("text/event-stream; charset=utf-8", parts.iter().map(event).collect::<String>() + end)
    }

    fn openai_completion(&self) -> Value {
        let message = json!({"role": "assistant", "content": "Hello"});
        json!({
            "id": "c-1", "object": "chat.completion", "created": 1, "model": self.model(),
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 21, "completion_tokens": 2, "total_tokens": 23},
        })
    }

    fn openai_chunks(&self) -> Vec<Value> {
        let chunk = |delta: Value| {
            json!({
                "id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": self.model(),
                "choices": [{"index": 0, "delta": delta, "finish_reason": null}],
            })
        };
        vec![chunk(json!({"role": "assistant", "content": ""})), chunk(json!({"content": "Hello"}))]
    }

    fn anthropic_message(&self) -> Value {
        json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": self.model(),
            "content": [{"type": "text", "text": "Hello"}], "stop_reason": "end_turn", "stop_sequence": null,
            "usage": {"input_tokens": 21, "output_tokens": 2},
        })
    }

    fn anthropic_events(&self) -> Vec<Value> {
        let mut message = self.anthropic_message();
        message["content"] = json!([]);
        message["stop_reason"] = Value::Null;
        vec![
            json!({"type": "message_start", "message": message}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null}, "usage": {"output_tokens": 2}}),
            json!({"type": "message_stop"}),
        ]
    }
}
