//! Clients that ask without pause and read their answers byte by byte: each request must be answered exactly once.

use std::{net::SocketAddr, pin::pin, time::Duration};

use anyhow::{Result, bail};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};

use crate::connection;

/// Bytes of the longest prompt: several frames, and short enough that parsing is no part of the result.
const PROMPT_MAX: usize = 40_000;

/// Share of requests that are given up before the answer.
const LEAVES: f64 = 0.05;

/// Longest time before such a client leaves.
const LEAVES_WITHIN: Duration = Duration::from_secs(3);

/// Time after which a request counts as unanswered: far beyond the time to live, the longest freeze and an answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Time without an answer after which Envoy is asked what it is doing: beyond the time to live, the longest freeze and
/// an answer.
const SUSPICIOUS: Duration = Duration::from_secs(25);

/// Counters of Envoy that say where a request is.
const TELLING: &str =
    "_rq_active|_rq_pending_active|downstream_cx_active|listeners_|vm_reload|flow_control";

/// Paths that are asked; the second is placed before its body is read.
const PATHS: [&str; 2] = ["/v1/chat/completions", "/tokenize"];

/// The end of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ending {
    /// A whole answer with this status.
    Answered(u16),
    /// An answer of 200 that broke off, as it must where its pod dies.
    Broken,
    /// The client left by itself.
    Left,
    /// Nothing was answered, and the connection was closed.
    Closed,
    /// Nothing was answered as long as the client waited.
    Silent,
    /// Bytes behind the end of the answer.
    Twice,
}

/// A request with its times.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) sent: Instant,
    pub(super) head: Option<Head>,
    pub(super) ending: Ending,
    /// The request, and what Envoy said while it was unanswered for suspiciously long.
    pub(super) suspicion: Option<String>,
}

/// The head of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// Time at which it had come.
    pub(super) at: Instant,
    status: u16,
    /// Time that the pod took for it, by Envoy; zero for an answer of Envoy's own.
    pub(super) by_pod: Duration,
}

/// A client: one priority, one tenant.
#[derive(Clone, Debug)]
pub(super) struct SoakClient {
    pub(super) gateway: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) objective: &'static str,
    pub(super) number: usize,
}

impl SoakClient {
    /// Asks until `end`, and returns all that became of it.
    pub(super) async fn ask(self, end: Instant, seed: u64) -> Vec<Attempt> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut served = Vec::new();
        while Instant::now() < end {
            served.push(self.request(&mut random).await);
        }
        served
    }

    async fn request(&self, random: &mut fastrand::Rng) -> Attempt {
        let request = self.bytes(random);
        let leaves = (random.f64() < LEAVES).then(|| LEAVES_WITHIN.mul_f64(random.f64()));
        let sent = Instant::now();
        let (mut head, mut suspicion) = (None, None);
        let answer = exchange(self.gateway, &request, &mut head);
        let answer = watched(answer, async || suspicion = Some(self.suspicion(&request).await));
        let ending = match timeout(leaves.unwrap_or(PATIENCE), answer).await {
            Ok(Ok(ending)) => ending,
            Err(_) if leaves.is_some() => Ending::Left,
            Err(_) | Ok(Err(_)) if head.is_some() => Ending::Broken,
            Err(_) => Ending::Silent,
            Ok(Err(_)) => Ending::Closed,
        };
        Attempt { sent, head, ending, suspicion }
    }

    /// Returns the request's first line and what Envoy says at the moment.
    async fn suspicion(&self, request: &[u8]) -> String {
        let first = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let stats = stack::get(self.admin, &format!("/stats?filter={TELLING}")).await;
        let said = stats.map_or_else(|error| error.to_string(), |it| it.body);
        let said: Vec<&str> = said.lines().filter(|line| !line.ends_with(": 0")).collect();
        let (objective, bytes) = (self.objective, request.len());
        format!(
            "{} of {objective}, {bytes} bytes: {}",
            String::from_utf8_lossy(first),
            said.join(", ")
        )
    }

    fn bytes(&self, random: &mut fastrand::Rng) -> Vec<u8> {
        let path = random.choice(PATHS).unwrap_or(PATHS[0]);
        let stream = random.bool();
        // Half of a client's requests begin as the one before: prefixes that are found again.
        let words = "soak ".repeat(random.usize(..PROMPT_MAX / 5));
        let own = if random.bool() { self.number } else { random.usize(..) };
        let tokens = random.u8(1..30);
        let body = format!(
            r#"{{"model":"tiny","prompt":"{own}","max_tokens":{tokens},"stream":{stream},"messages":[{{"role":"user","content":"{own} {words}"}}]}}"#
        );
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\ncontent-type: application/json\r\n\
             x-llm-d-inference-objective: {}\r\nx-llm-d-inference-fairness-id: {}\r\ncontent-length: {}\r\n\r\n",
            self.objective,
            self.number % 5,
            body.len()
        );
        [head.into_bytes(), body.into_bytes()].concat()
    }
}

/// Waits for an answer; calls `suspect` once if that takes suspiciously long.
async fn watched<T>(answer: impl Future<Output = T>, suspect: impl AsyncFnOnce()) -> T {
    let mut answer = pin!(answer);
    if let Ok(answer) = timeout(SUSPICIOUS, &mut answer).await {
        return answer;
    }
    let (answer, ()) = tokio::join!(answer, suspect());
    answer
}

/// Sends a request over a connection of its own and reads until the other side closes it. Notes in `head` when the
/// answer's head had come.
async fn exchange(to: SocketAddr, request: &[u8], head: &mut Option<Head>) -> Result<Ending> {
    let mut stream = TcpStream::connect(to).await?;
    // In pieces, so that a body arrives while its request is held.
    for piece in request.chunks(16 << 10) {
        stream.write_all(piece).await?;
    }
    let mut bytes = Vec::new();
    while stream.read_buf(&mut bytes).await? > 0 {
        if head.is_none() {
            *head = read_head(&bytes);
        }
    }
    let Some(Head { status, .. }) = *head else { bail!("closed without an answer") };
    Ok(match whole(&bytes) {
        Some(0) => Ending::Answered(status),
        Some(_) => Ending::Twice,
        None => Ending::Broken,
    })
}

/// Reads the head of an answer, once it has come as a whole.
fn read_head(bytes: &[u8]) -> Option<Head> {
    let head = bytes.get(..connection::end_of_head(bytes, 0)?)?;
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    let milliseconds =
        text.lines().find_map(|line| line.strip_prefix("x-envoy-upstream-service-time:"));
    let by_pod = milliseconds
        .and_then(|it| it.trim().parse().ok())
        .map_or(Duration::ZERO, Duration::from_millis);
    Some(Head { at: Instant::now(), status: connection::status(head)?, by_pod })
}

/// Returns the number of bytes behind the end of the first answer; `None` if it is not whole.
fn whole(bytes: &[u8]) -> Option<usize> {
    let end = connection::end_of_head(bytes, 0)?;
    let (head, body) = bytes.split_at_checked(end)?;
    if String::from_utf8_lossy(head).contains("transfer-encoding: chunked") {
        return behind_chunks(body);
    }
    body.len().checked_sub(connection::content_length(head))
}

fn behind_chunks(mut body: &[u8]) -> Option<usize> {
    loop {
        let line = body.iter().position(|byte| *byte == b'\r')?;
        let size = std::str::from_utf8(body.get(..line)?).ok()?;
        let size = usize::from_str_radix(size, 16).ok()?;
        body = body.get(line + 2 + size + 2..)?;
        if size == 0 {
            return Some(body.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_for_how_long_the_pod_had_the_request() {
        let answer = b"HTTP/1.1 200 OK\r\nX-Envoy-Upstream-Service-Time: 1250\r\n\r\n";
        let read =
            |bytes: &[u8]| read_head(bytes).map(|head| (head.status, head.by_pod.as_millis()));
        assert_eq!(read(answer), Some((200, 1_250)));
        assert_eq!(read(b"HTTP/1.1 429 Too Many Requests\r\n\r\n"), Some((429, 0)), "Envoy's own");
        assert_eq!(read(&answer[..answer.len() - 1]), None);
    }

    #[test]
    fn an_answer_is_whole_once() {
        let known = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc";
        assert_eq!(whole(known), Some(0));
        assert_eq!(whole(&known[..known.len() - 1]), None);
        assert_eq!(whole(&[&known[..], b"HTTP"].concat()), Some(4));
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        assert_eq!(whole(chunked), Some(0));
        assert_eq!(whole(&chunked[..chunked.len() - 5]), None);
        assert_eq!(whole(&[&chunked[..], b"x"].concat()), Some(1));
    }
}
