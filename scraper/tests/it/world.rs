//! Fake pods, a fake Envoy and a scraper between them.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use picker_core::{Endpoint, Health, Instant, Snapshot};
use scraper::{
    Scraper, Secret, Settings,
    settings::{
        Discovery, Gateways, ListedEndpoints, MetricsSource, Objectives, Pace, PoolSettings,
        SecretSource,
    },
};
use tokio::{sync::watch, time};
use wire::{
    metrics::Engines,
    push::{
        self, Clocks, Headers, PushHistory, SEQUENCE_HEADER, SIGNATURE_HEADER, Stamp, TIME_HEADER,
    },
};

use crate::server::{Asked, Reply, Server};

/// Longest wait, which is longer than any step takes on a busy machine: a test that waits this long
/// has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const SECRET: &[u8] = b"0123456789abcdef";

pub(crate) fn anywhere() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// Returns a metrics page with this many waiting requests, and two running.
pub(crate) fn page(waiting: u32) -> Reply {
    page_of(waiting, 2)
}

pub(crate) fn page_of(waiting: u32, running: u32) -> Reply {
    let page = format!(
        "vllm:num_requests_waiting{{engine=\"0\"}} {waiting}.0\n\
         vllm:num_requests_running{{engine=\"0\"}} {running}.0\n\
         vllm:kv_cache_usage_perc{{engine=\"0\"}} 0.5\n"
    );
    Reply::Whole(200, page.into_bytes())
}

/// A pod with changeable replies, which counts the requests to it.
pub(crate) struct Pod {
    pub(crate) address: SocketAddr,
    reply: Arc<Mutex<Reply>>,
    asked: watch::Receiver<u64>,
    server: Server,
}

impl Pod {
    pub(crate) async fn start(reply: Reply) -> Self {
        Self::start_at(anywhere(), reply).await
    }

    pub(crate) async fn start_at(address: SocketAddr, reply: Reply) -> Self {
        Self::serving(address, reply, Reply::Whole(404, Vec::new())).await
    }

    /// Starts a pod with such a list of models.
    pub(crate) async fn serving(address: SocketAddr, reply: Reply, models: Reply) -> Self {
        let (count, asked) = watch::channel(0);
        let reply = Arc::new(Mutex::new(reply));
        let current = Arc::clone(&reply);
        let server = Server::start(address, move |asked| {
            if asked.line == "GET /v1/models" {
                return models.clone();
            }
            assert!(asked.line.starts_with("GET /metrics"), "{}", asked.line);
            count.send_modify(|count| *count += 1);
            current.lock().unwrap().clone()
        });
        let server = server.await;
        Self { address: server.address, reply, asked, server }
    }

    pub(crate) fn reply_with(&self, reply: Reply) {
        *self.reply.lock().unwrap() = reply;
    }

    /// Returns the number of requests so far.
    pub(crate) fn asked(&self) -> u64 {
        *self.asked.borrow()
    }

    pub(crate) async fn wait_until_asked(&self, times: u64) {
        let mut asked = self.asked.clone();
        let waited = time::timeout(PATIENCE, asked.wait_for(|count| *count >= times)).await;
        assert!(waited.is_ok(), "asked {} times, not {times}", self.asked());
    }

    /// Ends the pod, so that connections are refused from now on.
    pub(crate) async fn stop(self) {
        self.server.stop().await;
    }
}

/// An Envoy that checks pushes as the plugin does.
pub(crate) struct Envoy {
    pub(crate) address: SocketAddr,
    pushes: watch::Receiver<Pushes>,
    server: Server,
}

/// The pushes that an Envoy got so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pushes {
    pub(crate) count: u64,
    pub(crate) stamp: Option<Stamp>,
    pub(crate) last: Option<Snapshot>,
}

impl Envoy {
    pub(crate) async fn start() -> Self {
        Self::start_at(anywhere(), |_| Reply::Whole(204, Vec::new())).await
    }

    /// Starts an Envoy that verifies and records each push, then answers as `answer` says.
    pub(crate) async fn start_at(
        address: SocketAddr,
        mut answer: impl FnMut(&Pushes) -> Reply + Send + 'static,
    ) -> Self {
        let (record, pushes) = watch::channel(Pushes::default());
        let server = Server::start(address, move |asked| {
            let (stamp, snapshot) = verified(&asked, record.borrow().stamp);
            record.send_modify(|pushes| {
                let count = pushes.count + 1;
                *pushes = Pushes { count, stamp: Some(stamp), last: Some(snapshot) };
            });
            answer(&record.borrow())
        });
        let server = server.await;
        Self { address: server.address, pushes, server }
    }

    /// Returns the sequence number of the last push.
    pub(crate) fn sequence(&self) -> u64 {
        self.pushes().stamp.unwrap().sequence
    }

    pub(crate) fn pushes(&self) -> Pushes {
        self.pushes.borrow().clone()
    }

    /// Waits for the first pushes for which `wanted` holds.
    pub(crate) async fn wait(&self, what: &str, wanted: impl Fn(&Pushes) -> bool) -> Pushes {
        let mut pushes = self.pushes.clone();
        match time::timeout(PATIENCE, pushes.wait_for(wanted)).await {
            Ok(Ok(pushes)) => pushes.clone(),
            Ok(Err(_)) => panic!("the Envoy is gone"),
            Err(_) => panic!("{what} was never pushed; the last was {:?}", self.pushes()),
        }
    }

    /// Waits for the first snapshot in which `wanted` holds for the endpoint at `address`.
    pub(crate) async fn wait_for(
        &self,
        address: SocketAddr,
        what: &str,
        wanted: impl Fn(&Endpoint) -> bool,
    ) -> Endpoint {
        let find = |pushes: &Pushes| endpoint(pushes, address).filter(|found| wanted(found));
        let pushes = self.wait(what, |pushes| find(pushes).is_some()).await;
        find(&pushes).unwrap()
    }

    pub(crate) async fn stop(self) {
        self.server.stop().await;
    }
}

pub(crate) fn endpoint(pushes: &Pushes, address: SocketAddr) -> Option<Endpoint> {
    let endpoints = &pushes.last.as_ref()?.endpoints;
    endpoints.iter().find(|endpoint| endpoint.address == address).cloned()
}

pub(crate) fn is_down(endpoint: &Endpoint) -> bool {
    endpoint.health == Health::Down
}

/// Returns the waiting requests, or nothing if the endpoint is down or was never read.
pub(crate) fn waiting(endpoint: &Endpoint) -> Option<u32> {
    let metrics = endpoint.metrics.as_ref()?;
    (!is_down(endpoint)).then_some(metrics.waiting)
}

/// Returns the settings of a pool of these pods.
pub(crate) fn pool(name: &str, pods: &[SocketAddr]) -> PoolSettings {
    let endpoints = pods.iter().map(|pod| pod.to_string().parse().unwrap()).collect();
    PoolSettings {
        name: name.to_owned(),
        discovery: Discovery::Listed(ListedEndpoints { endpoints, file: None }),
        objectives: Objectives::default(),
        engines: Engines::default(),
        source: MetricsSource::default(),
    }
}

/// Returns the settings of a scraper of these pods for these Envoys, with the usual interval.
pub(crate) fn settings(pods: &[SocketAddr], envoys: &[SocketAddr]) -> Settings {
    Settings {
        pools: vec![pool("default", pods)],
        gateways: Gateways {
            urls: envoys.iter().map(|it| format!("http://{it}").parse().unwrap()).collect(),
            ..Gateways::default()
        },
        pace: Pace {
            interval: Duration::from_millis(50),
            idle_interval: Duration::from_millis(100),
            timeout: Duration::from_millis(250),
            scrapes: 64,
        },
        listen: anywhere(),
        secret: SecretSource::Fixed(Secret::new(SECRET).unwrap()),
        plugin: None,
    }
}

pub(crate) async fn start(settings: Settings) -> Scraper {
    Scraper::start(settings).await.unwrap()
}

/// Returns the whole answer to `GET path` of the scraper's own pages.
pub(crate) async fn get(scraper: &Scraper, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(scraper.address()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Waits for the first answer for which `wanted` holds.
pub(crate) async fn poll(scraper: &Scraper, path: &str, wanted: impl Fn(&str) -> bool) -> String {
    let deadline = time::Instant::now() + PATIENCE;
    loop {
        let answer = get(scraper, path).await;
        if wanted(&answer) {
            return answer;
        }
        assert!(time::Instant::now() < deadline, "{path} stayed {answer}");
        time::sleep(Duration::from_millis(5)).await;
    }
}

/// Returns the push as the plugin sees it; fails where the plugin would refuse it.
fn verified(asked: &Asked, last: Option<Stamp>) -> (Stamp, Snapshot) {
    assert_eq!(asked.line, "POST /v1/snapshot");
    let header = |name| asked.header(name).map(str::as_bytes);
    let headers =
        Headers::parse(header(TIME_HEADER), header(SEQUENCE_HEADER), header(SIGNATURE_HEADER));
    let headers = headers.unwrap();
    push::Secret::new(SECRET).unwrap().verify(&headers, &asked.body).unwrap();
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let clocks = Clocks { wall_ms: now.try_into().unwrap(), steady: Instant::default() };
    PushHistory { last, starts: Vec::new() }.take(clocks, headers.stamp).unwrap();
    (headers.stamp, wire::snapshot::decode(&asked.body).unwrap())
}
