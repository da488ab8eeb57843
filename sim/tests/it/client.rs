//! A blocking client that times one streamed completion: the same program for both servers.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// A server that says nothing for this long has failed the measurement.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one streamed completion looked like from outside.
#[derive(Clone, Debug)]
pub(crate) struct Streamed {
    /// From before connecting to the first token.
    pub(crate) first: Duration,
    /// When each chunk with a token came, from the same origin.
    pub(crate) chunks: Vec<Duration>,
    /// `usage.prompt_tokens`.
    pub(crate) prompt: u64,
    /// `usage.prompt_tokens_details.cached_tokens`.
    pub(crate) cached: u64,
    /// `usage.completion_tokens`.
    pub(crate) completion: u64,
}

impl Streamed {
    /// Mean time between tokens, in milliseconds.
    pub(crate) fn itl_ms(&self) -> f64 {
        let last = self.chunks.last().copied().unwrap_or(self.first);
        (last - self.first).as_secs_f64() * 1e3 / (self.completion - 1) as f64
    }

    /// The longest pause between two chunks, in milliseconds.
    pub(crate) fn longest_gap_ms(&self) -> f64 {
        let gaps = self.chunks.windows(2).map(|pair| pair[1] - pair[0]);
        gaps.max().unwrap_or_default().as_secs_f64() * 1e3
    }
}

/// Streams `max_tokens` tokens after `prompt`, given as token ids so that both servers count alike.
/// `on_chunk` is called after each chunk with the number so far.
pub(crate) fn stream(
    server: SocketAddr,
    prompt: &[u32],
    max_tokens: u32,
    mut on_chunk: impl FnMut(usize),
) -> Streamed {
    let body = json!({
        "model": "tiny", "prompt": prompt, "max_tokens": max_tokens, "ignore_eos": true,
        "temperature": 0, "stream": true, "stream_options": {"include_usage": true},
    });
    let origin = Instant::now();
    let answer = open(server, "POST /v1/completions", "", &body.to_string()).unwrap();
    let mut streamed =
        Streamed { first: Duration::ZERO, chunks: vec![], prompt: 0, cached: 0, completion: 0 };
    for line in BufReader::new(answer).lines().map(Result::unwrap) {
        let Some(data) = line.strip_prefix("data: {") else { continue };
        let at = origin.elapsed();
        let chunk: Value = serde_json::from_str(&format!("{{{data}")).unwrap();
        assert!(chunk.get("error").is_none(), "{chunk}");
        if chunk["choices"][0].is_object() {
            streamed.chunks.push(at);
            on_chunk(streamed.chunks.len());
        } else {
            let usage = &chunk["usage"];
            streamed.prompt = usage["prompt_tokens"].as_u64().unwrap();
            streamed.completion = usage["completion_tokens"].as_u64().unwrap();
            streamed.cached = usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
        }
    }
    streamed.first = streamed.chunks[0];
    streamed
}

/// The body of a GET.
pub(crate) fn get(server: SocketAddr, path: &str) -> String {
    let answer = call(server, &format!("GET {path}"), "", "").unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// The whole answer to a POST with a JSON body, head and all.
pub(crate) fn post(server: SocketAddr, path: &str, body: &str) -> String {
    call(server, &format!("POST {path}"), "", body).unwrap()
}

/// One request on a connection of its own: the whole answer, or how the connection failed.
/// `headers` are lines that end in CRLF.
pub(crate) fn call(
    server: SocketAddr,
    line: &str,
    headers: &str,
    body: &str,
) -> io::Result<String> {
    let mut text = String::new();
    open(server, line, headers, body)?.read_to_string(&mut text)?;
    Ok(text)
}

/// Sends a request, and leaves the answer to the caller.
pub(crate) fn open(
    server: SocketAddr,
    line: &str,
    headers: &str,
    body: &str,
) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let length = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\nhost: {server}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes())?;
    Ok(stream)
}
