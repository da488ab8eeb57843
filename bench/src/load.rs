//! Load: as many requests as `clients` can make, or so many a second.
//!
//! Every client is a thread that blocks: with a few dozen of them that is the cheapest there is,
//! and the load costs the same for whatever is measured.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};

use crate::{
    body::{Request, Text},
    connection::Connection,
};

/// Time in which clients connect.
const BEFORE_START: Duration = Duration::from_millis(300);

/// Number of the next request. No two requests of this process have the same, so none finds its own
/// prompt cached.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Returns the next request's number.
pub(crate) fn next_number() -> u64 {
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// The pace of requests.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// The next request follows when the last is answered.
    Closed,
    /// So many requests a second, answered or not. Latency counts from when a request was due, so
    /// that one that had to wait for a free client is not flattered (coordinated omission).
    Open { per_second: u32 },
}

/// The kind of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// A chat with a body of so many bytes; half of its prompt is its conversation's.
    Chat { bytes: usize, text: Text },
    /// A chat of so many words without a common prefix, with these header lines.
    Tenant { words: usize, headers: &'static str },
    /// A request without a body.
    Bare,
    /// A request that computes nothing, which goes to any pod at once.
    Health,
    /// A body of so many bytes that is not read, so that it is placed by load.
    Opaque { bytes: usize },
}

impl Kind {
    pub(crate) fn request(self, client: usize) -> Request {
        match self {
            Self::Chat { bytes, text } => Request::chat(bytes, text, client),
            Self::Tenant { words, headers } => Request::unlike_any(words, headers),
            Self::Bare => Request::without_body(),
            Self::Health => Request::health(),
            Self::Opaque { bytes } => Request::opaque(bytes),
        }
    }
}

/// Requests, and the server that gets them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Address of the server.
    pub(crate) target: SocketAddr,
    /// Kind of the requests.
    pub(crate) kind: Kind,
    /// Number of connections, each with one request at a time.
    pub(crate) clients: usize,
    /// Pace of the requests.
    pub(crate) pace: Pace,
    /// Time that the load lasts.
    pub(crate) duration: Duration,
}

/// The outcome of a load.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Latency of each request that was answered with 200.
    pub(crate) latencies: Vec<Duration>,
    /// Number of these requests that were answered before the time was over.
    pub(crate) in_time: usize,
    /// Number of all other requests.
    pub(crate) failed: usize,
}

/// The schedule of the clients.
struct Plan {
    load: Load,
    start: Instant,
    /// Number of the next request of the open loop.
    next: AtomicU64,
}

impl Load {
    /// Runs the load; blocks until it is over.
    pub(crate) fn run(self) -> Result<Outcome> {
        let plan =
            Plan { load: self, start: Instant::now() + BEFORE_START, next: AtomicU64::new(0) };
        let plan = Arc::new(plan);
        let clients: Vec<_> = (0..self.clients)
            .map(|client| {
                let plan = Arc::clone(&plan);
                thread::spawn(move || plan.client(client))
            })
            .collect();
        let mut outcome = Outcome::default();
        for client in clients {
            let part = client.join().map_err(|_| anyhow!("a client panicked"))??;
            outcome.latencies.extend(part.latencies);
            outcome.in_time += part.in_time;
            outcome.failed += part.failed;
        }
        Ok(outcome)
    }
}

impl Plan {
    fn client(&self, client: usize) -> Result<Outcome> {
        let mut connection = Connection::open(self.load.target)?;
        let mut request = self.load.kind.request(client);
        let mut outcome = Outcome::default();
        let end = self.start + self.load.duration;
        thread::sleep(self.start.saturating_duration_since(Instant::now()));
        while let Some(due) = self.due() {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let number = next_number();
            match connection.exchange(request.numbered(number)) {
                Ok(200) => {
                    let now = Instant::now();
                    outcome.latencies.push(now - due);
                    outcome.in_time += usize::from(now < end);
                }
                Ok(_) => outcome.failed += 1,
                Err(_) => {
                    outcome.failed += 1;
                    connection = Connection::open(self.load.target)?;
                }
            }
        }
        Ok(outcome)
    }

    /// Returns when this client's next request is due; none when the time is over.
    fn due(&self) -> Option<Instant> {
        let due = match self.load.pace {
            Pace::Closed => Instant::now(),
            Pace::Open { per_second } => {
                let number = u32::try_from(self.next.fetch_add(1, Ordering::Relaxed)).ok()?;
                self.start + Duration::from_secs(1) * number / per_second
            }
        };
        (due < self.start + self.load.duration).then_some(due)
    }
}
