//! A model server that costs as little as one can, and the same for every proxy: it reads a
//! request, throws it away and answers always the same.
//!
//! The simulator would cost more than the proxies that are measured here.

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use crate::connection::Connection;

/// Answer of vLLM to a short request.
const ANSWER: &str = r#"{"id":"chatcmpl-0","object":"chat.completion","created":0,"model":"tiny","choices":[{"index":0,"message":{"role":"assistant","content":"ok"},"logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":100,"total_tokens":101,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":0}}}"#;

/// Metrics of an idle engine, as far as the scraper asks.
const METRICS: &str = "vllm:num_requests_running{engine=\"0\",model_name=\"tiny\"} 0.0\n\
    vllm:num_requests_waiting{engine=\"0\",model_name=\"tiny\"} 0.0\n\
    vllm:kv_cache_usage_perc{engine=\"0\",model_name=\"tiny\"} 0.0\n\
    vllm:cache_config_info{block_size=\"16\",engine=\"0\",num_gpu_blocks=\"16384\"} 1.0\n";

const MODELS: &str = r#"{"object":"list","data":[{"id":"tiny","object":"model","created":0,"owned_by":"vllm","root":"tiny","max_model_len":32768}]}"#;

/// Returns the response to a prompt, by its own account so many tokens long.
pub(crate) fn answer(tokens: u32) -> String {
    let usage = format!(r#""completion_tokens":{tokens}"#);
    respond("application/json", &ANSWER.replace(r#""completion_tokens":1"#, &usage))
}

/// Returns the response to the scraper.
pub(crate) fn metrics() -> String {
    respond("text/plain; version=0.0.4", METRICS)
}

/// The metrics that a model server shows to the scraper.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Says {
    /// The server is idle.
    TheSame,
    /// The server is busy, with other numbers each time, so that no reader may leave anything out.
    News,
}

impl Says {
    fn metrics(self, times: usize) -> String {
        match self {
            Self::TheSame => metrics(),
            Self::News => {
                let running = format!("}} {}.0\n", 1 + times % 7);
                respond("text/plain; version=0.0.4", &METRICS.replacen("} 0.0\n", &running, 1))
            }
        }
    }
}

/// Returns the list of models, which routers ask for before they send anything.
fn models() -> String {
    respond("application/json", MODELS)
}

fn respond(kind: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// Starts `count` idle servers; they end with this process.
pub(crate) fn start(count: usize) -> io::Result<Vec<SocketAddr>> {
    start_saying(count, Says::TheSame)
}

/// Starts `count` servers with these metrics; they end with this process.
pub(crate) fn start_saying(count: usize, says: Says) -> io::Result<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    for _ in 0..count {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        addresses.push(listener.local_addr()?);
        thread::spawn(move || accept(&listener, says));
    }
    Ok(addresses)
}

/// Serves every connection on a thread of its own: Envoy opens as many as there are requests in
/// flight, which the load bounds.
fn accept(listener: &TcpListener, says: Says) {
    for stream in listener.incoming().flatten() {
        // A connection that fails ends; Envoy opens another.
        thread::spawn(move || serve(stream, says));
    }
}

fn serve(stream: TcpStream, says: Says) -> io::Result<()> {
    let answer = answer(1);
    let models = models();
    let mut times = 0;
    let mut connection = Connection::accepted(stream)?;
    loop {
        let head = connection.read_message()?;
        let metrics;
        let response = if head.starts_with(b"GET /metrics") {
            times += 1;
            metrics = says.metrics(times);
            &metrics
        } else if head.starts_with(b"GET /v1/models") {
            &models
        } else {
            &answer
        };
        connection.write(response.as_bytes())?;
    }
}
