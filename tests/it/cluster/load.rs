//! Requests through the gateway while something is done to the cluster.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    runtime,
    time::{sleep, timeout},
};

use super::world::{Cluster, until};

/// Service of the gateway that istiod makes for the Gateway.
pub(super) const GATEWAY: &str = "inference-gateway-istio.istio-ingress";

/// Clients of a load, each with one request at a time.
const CLIENTS: usize = 4;

/// Time between two requests of a client, so that the load leaves the machine to the control plane.
const PAUSE: Duration = Duration::from_millis(10);

/// Time that an answer may take: the longest is that of a gateway which starts.
const ANSWER: Duration = Duration::from_secs(20);

/// Time that a connection may take.
const CONNECT: Duration = Duration::from_secs(1);

/// Result of one request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// Served, and by whom it was picked.
    Served(Picked),
    /// Anything else, in words.
    Failed(String),
}

/// Chooser of the pod that served a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Picked {
    /// The picker, and the EPP was not asked.
    Picker,
    /// The picker, while the EPP was asked too.
    PickerOverEpp,
    /// The picker named another pod than served: it looked on, or was not followed.
    NotFollowed,
    /// The EPP alone.
    Epp,
    Nobody,
}

/// Place that requests are for, and their sender.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Service of the gateway.
    pub(super) gateway: &'static str,
    /// One pod of the gateway in the place of any.
    pub(super) pod: Option<SocketAddr>,
    pub(super) path: &'static str,
    /// Bearer token of the sender, if it has one.
    pub(super) token: Option<String>,
    /// Tokens of an answer.
    pub(super) tokens: u32,
}

impl From<&'static str> for Target {
    fn from(path: &'static str) -> Self {
        Self { gateway: GATEWAY, pod: None, path, token: None, tokens: 1 }
    }
}

/// Requests that go on until they are counted.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    clients: Vec<JoinHandle<()>>,
}

/// Everything that came back since it was taken last.
#[derive(Debug, Default)]
struct Seen {
    counts: Counts,
    /// Durations of the requests that were served.
    times: Vec<Duration>,
}

/// Numbers of requests by what came back.
pub(super) type Counts = BTreeMap<Outcome, u32>;

impl Seen {
    /// Counts what came back, and how long it took if it was served.
    fn add(&mut self, outcome: Outcome, time: Duration) {
        if matches!(outcome, Outcome::Served(_)) {
            self.times.push(time);
        }
        *self.counts.entry(outcome).or_default() += 1;
    }
}

impl Load {
    /// Starts requests for this path.
    pub(super) fn start(cluster: &Cluster, path: &'static str) -> Self {
        Self::of(cluster, &path.into(), CLIENTS)
    }

    /// Starts as many clients.
    pub(super) fn of(cluster: &Cluster, target: &Target, clients: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(Mutex::new(Seen::default()));
        let client = |number: usize| {
            let (stop, seen) = (Arc::clone(&stop), Arc::clone(&seen));
            // Every other one keeps its connection: such a connection sees a change of filters late.
            let keeps = number.is_multiple_of(2);
            let (cluster, target) = (cluster.clone(), target.clone());
            let mut client = Client { cluster, target, keeps, connection: None };
            thread::spawn(move || {
                let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    for turn in 0.. {
                        if stop.load(Ordering::Relaxed) {
                            return;
                        }
                        let begun = Instant::now();
                        let outcome = client.ask(&format!("client {number}, {turn}")).await;
                        seen.lock().unwrap().add(outcome, begun.elapsed());
                        sleep(PAUSE).await;
                    }
                });
            })
        };
        let clients = (0..clients).map(client).collect();
        Self { stop, seen, clients }
    }

    /// Returns what came back since the last call.
    pub(super) fn take(&self) -> Counts {
        std::mem::take(&mut *self.seen.lock().unwrap()).counts
    }

    /// Returns what came back since the last call, once it is as much as this or some more.
    pub(super) fn more(&self, requests: u32) -> Counts {
        let mut counts = Counts::new();
        until(&format!("{requests} requests are answered"), || {
            for (outcome, count) in self.take() {
                *counts.entry(outcome).or_default() += count;
            }
            let sum = counts.values().sum::<u32>();
            if sum < requests { Err(sum) } else { Ok(()) }
        });
        counts
    }

    /// Ends it, and returns what came back since the last call.
    pub(super) fn end(self) -> Counts {
        self.end_timed().0
    }

    /// Ends it, and returns what came back since the last call, with the mean duration of what was served.
    pub(super) fn end_timed(self) -> (Counts, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().for_each(|client| client.join().unwrap());
        let Seen { counts, times } = std::mem::take(&mut *self.seen.lock().unwrap());
        let served = u32::try_from(times.len().max(1)).unwrap();
        (counts, times.iter().sum::<Duration>() / served)
    }
}

/// Returns what failed, in words.
pub(super) fn failed(counts: &Counts) -> Vec<String> {
    let words = |(outcome, count): (&Outcome, &u32)| match outcome {
        Outcome::Failed(why) => Some(format!("{count} times {why}")),
        Outcome::Served(_) => None,
    };
    counts.iter().filter_map(words).collect()
}

/// Returns the number of requests that were picked so.
pub(super) fn picked(counts: &Counts, by: Picked) -> u32 {
    counts.get(&Outcome::Served(by)).copied().unwrap_or(0)
}

/// Asks the model once, over a connection of its own, and says who picked.
pub(super) fn ask(cluster: &Cluster, target: impl Into<Target>) -> Outcome {
    let (cluster, target) = (cluster.clone(), target.into());
    let mut client = Client { cluster, target, keeps: false, connection: None };
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(client.ask("once"))
}

/// A client with one request at a time.
struct Client {
    cluster: Cluster,
    target: Target,
    /// True if a connection is kept for the next request.
    keeps: bool,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    async fn ask(&mut self, prompt: &str) -> Outcome {
        match timeout(ANSWER, self.exchange(prompt)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => Outcome::Failed(error.to_string()),
            Err(_) => Outcome::Failed(format!("no answer within {ANSWER:?}")),
        }
    }

    async fn exchange(&mut self, prompt: &str) -> hyper::Result<Outcome> {
        loop {
            let mut connection = self.connect().await?;
            let message = serde_json::json!([{"role": "user", "content": prompt}]);
            let tokens = self.target.tokens;
            let body =
                serde_json::json!({"model": "qwen", "max_tokens": tokens, "messages": message});
            let mut request = Request::post(self.target.path)
                .header("host", "gateway")
                .header("content-type", "application/json");
            if let Some(token) = &self.target.token {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            let request = request.body(Full::from(body.to_string())).unwrap();
            let response = match connection.send_request(request).await {
                // The gateway had closed the connection, so that the request was not sent.
                Err(error) if error.is_canceled() => continue,
                other => other?,
            };
            let (head, body) = response.into_parts();
            let body = body.collect().await?.to_bytes();
            if self.keeps {
                self.connection = Some(connection);
            }
            return Ok(outcome(&head, &body));
        }
    }

    /// Returns the connection that is kept, or a new one. A gateway that nobody listens at is tried again, as a load balancer
    /// does: its pod has just gone.
    async fn connect(&mut self) -> hyper::Result<SendRequest<Full<Bytes>>> {
        if let Some(mut kept) = self.connection.take()
            && kept.ready().await.is_ok()
        {
            return Ok(kept);
        }
        loop {
            let pod = self.target.pod;
            if let Some(address) = pod.or_else(|| self.cluster.address(self.target.gateway, 80))
                && let Ok(Ok(stream)) = timeout(CONNECT, TcpStream::connect(address)).await
            {
                let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
                tokio::spawn(connection);
                return Ok(sender);
            }
            sleep(PAUSE).await;
        }
    }
}

fn outcome(head: &hyper::http::response::Parts, body: &[u8]) -> Outcome {
    if head.status != 200 {
        let text = String::from_utf8_lossy(body);
        return Outcome::Failed(format!("{}: {}", head.status, text.trim()));
    }
    let header = |name: &str| head.headers.get(name)?.to_str().ok();
    let served: Option<SocketAddr> = header("x-served-by").and_then(|it| it.parse().ok());
    let decision = header("x-llm-picker-decision").and_then(|decision| {
        let endpoint = decision.split(';').find_map(|part| part.strip_prefix("endpoint="))?;
        endpoint.parse::<SocketAddr>().ok()
    });
    let was_asked = header("x-went-into-resp-headers").is_some();
    Outcome::Served(match (decision, was_asked) {
        (Some(_), _) if decision != served => Picked::NotFollowed,
        (Some(_), true) => Picked::PickerOverEpp,
        (Some(_), false) => Picked::Picker,
        (None, true) => Picked::Epp,
        (None, false) => Picked::Nobody,
    })
}
