//! A worker that asks for streamed answers, one after the other.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::class::Class;

/// Output tokens of each answer.
const OUTPUT: u32 = 64;

/// Words of each prompt, each a token or two.
const WORDS: usize = 60;

/// What one worker is.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) gateway: SocketAddr,
    pub(super) class: Class,
    pub(super) number: usize,
}

/// What became of one request.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) class: Class,
    /// None if it failed.
    pub(super) first_token: Option<Duration>,
    pub(super) whole: Duration,
    /// Why it failed.
    error: Option<String>,
}

impl Served {
    /// It was given up.
    pub(super) const fn unanswered(class: Class) -> Self {
        Self { class, first_token: None, whole: Duration::ZERO, error: None }
    }

    /// For the raw figures.
    pub(super) fn raw(&self) -> Value {
        let first = self.first_token.map(|time| time.as_secs_f64());
        let whole = self.whole.as_secs_f64();
        json!({"class": self.class.name(), "ttft_s": first, "e2e_s": whole, "error": self.error})
    }
}

impl Worker {
    /// Makes the worker's request of that number and reads its answer to the end.
    pub(super) async fn request(&self, number: usize) -> Served {
        let begun = Instant::now();
        let (first_token, error) = match self.stream(number, begun).await {
            Ok(first_token) => (Some(first_token), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Served { class: self.class, first_token, whole: begun.elapsed(), error }
    }

    /// The time to the first token, once the last has come.
    async fn stream(&self, number: usize, begun: Instant) -> Result<Duration> {
        let stream = TcpStream::connect(self.gateway).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = Request::post("/v1/chat/completions")
            .header("host", "gateway")
            .header("content-type", "application/json")
            .header("x-llm-d-inference-objective", self.class.name())
            .body(Full::new(Bytes::from(self.body(number))))?;
        let mut response = sender.send_request(request).await?;
        ensure!(response.status() == 200, "{}", response.status());
        let mut first = None;
        let mut end = Bytes::new();
        while let Some(frame) = response.frame().await {
            if let Ok(data) = frame?.into_data() {
                first.get_or_insert_with(|| begun.elapsed());
                end = data;
            }
        }
        let done = end.windows(6).any(|six| six == b"[DONE]");
        match first {
            Some(first) if done => Ok(first),
            _ => anyhow::bail!("a stream without an end"),
        }
    }

    fn body(&self, number: usize) -> String {
        let mut prompt = format!("Worker {}, question {number}:", self.number);
        for word in 0..WORDS {
            prompt += &format!(" word{word}");
        }
        json!({
            "model": "tiny", "stream": true, "max_tokens": OUTPUT, "ignore_eos": true,
            "messages": [{"role": "user", "content": prompt}]
        })
        .to_string()
    }
}
