//! A worker that asks for streamed answers, one after the other.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::Result;
use serde_json::{Value, json};

use super::class::Class;
use crate::chat;

/// Number of output tokens of an answer.
const OUTPUT: u32 = 64;

/// Number of words of a prompt, each a token or two.
const WORDS: usize = 60;

/// A client that asks again and again.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) gateway: SocketAddr,
    pub(super) class: Class,
    pub(super) number: usize,
}

/// The outcome of a request.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) class: Class,
    /// Time to the first token; `None` if the request failed.
    pub(super) first_token: Option<Duration>,
    pub(super) whole: Duration,
    /// Reason of a failure.
    error: Option<String>,
}

impl Served {
    /// Returns the outcome of a request that was given up.
    pub(super) const fn unanswered(class: Class) -> Self {
        Self { class, first_token: None, whole: Duration::ZERO, error: None }
    }

    /// Returns the raw figures.
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
        let (first_token, error) = match self.stream(number).await {
            Ok(first_token) => (Some(first_token), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Served { class: self.class, first_token, whole: begun.elapsed(), error }
    }

    /// Returns the time to the first token, once the last has come.
    async fn stream(&self, number: usize) -> Result<Duration> {
        let objective = ("x-llm-d-inference-objective", self.class.name());
        Ok(chat::stream(self.gateway, &[objective], &self.body(number)).await?.first_token)
    }

    fn body(&self, number: usize) -> Value {
        let mut prompt = format!("Worker {}, question {number}:", self.number);
        for word in 0..WORDS {
            prompt += &format!(" word{word}");
        }
        json!({
            "model": "tiny", "stream": true, "max_tokens": OUTPUT, "ignore_eos": true,
            "messages": [{"role": "user", "content": prompt}]
        })
    }
}
