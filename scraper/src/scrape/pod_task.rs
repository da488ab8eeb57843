//! The task that scrapes one pod, again and again.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use hyper::Uri;
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time,
};
use wire::metrics::{Engine, Engines};

use super::{
    life::{LifeFollower, Moment},
    pod_scraper::{MetricsPages, PodScraper},
    schedule,
};
use crate::{
    clock::unix_ms,
    meters::Meters,
    peer::{Fault, Link, Peer, TlsClient, log_failure, log_success},
    pool::{EngineLife, Pod, ScrapeState, TimedReading, Trouble, WaitingReceiver},
    settings::{MetricsSource, Pace},
};

/// Longest time for which a scrape keeps its permit from others: four times what a loaded vLLM
/// takes at p99. A scrape that takes longer goes on without, so that pods that hang delay no other.
const PERMIT_MAX: Duration = Duration::from_millis(150);

/// The task of a pod of one pool; every pod has a clone.
#[derive(Clone, Debug)]
pub(crate) struct PodTask {
    pub(crate) pool: Arc<str>,
    pub(crate) pace: Pace,
    pub(crate) source: MetricsSource,
    /// TLS of the source, with the files read.
    pub(crate) tls: Option<Arc<TlsClient>>,
    pub(crate) engines: Arc<Engines>,
    pub(crate) permits: ScrapePermits,
    /// Gateways that hold requests of the pool.
    pub(crate) waiting: WaitingReceiver,
    pub(crate) meters: Arc<Meters>,
}

/// Permits to scrape, shared by all pools.
#[derive(Clone, Debug)]
pub(crate) struct ScrapePermits {
    /// Permits for pods that answer.
    up: Arc<Semaphore>,
    /// Permits for pods that are down. Each may hang for as long as a scrape keeps its permit, and hundreds of them
    /// would take those of the pods that answer.
    down: Arc<Semaphore>,
}

impl ScrapePermits {
    /// Makes so many permits for pods that answer, and a quarter as many for others.
    pub(crate) fn new(scrapes: usize) -> Self {
        let down = (scrapes / 4).max(1);
        Self { up: Arc::new(Semaphore::new(scrapes)), down: Arc::new(Semaphore::new(down)) }
    }

    async fn acquire(&self, link: &Link) -> Option<OwnedSemaphorePermit> {
        let permits = if link.is_down() { &self.down } else { &self.up };
        // None of both is ever closed.
        Arc::clone(permits).acquire_owned().await.ok()
    }
}

/// The beginning of a pod's task.
#[derive(Clone, Copy, Debug)]
pub(super) struct PodStart {
    /// Time until the first scrape.
    pub(super) phase: Duration,
    /// Moment at which the pod was made, or else found at its address; none for one that was there when the
    /// scraper began.
    pub(super) found: Option<Moment>,
}

/// Knowledge of the task of its pod beside the outcome of a scrape.
struct Known<'a> {
    link: &'a mut Link,
    life: EngineLife,
}

/// A scrape that failed.
#[derive(Debug)]
struct Failure {
    fault: Fault,
    /// True if the port that serves requests takes connections all the same.
    serves: bool,
}

impl PodTask {
    /// Returns the engine that the pod runs, by its labels.
    pub(super) fn engine_for(&self, pod: &Pod) -> Arc<Engine> {
        self.engines.for_labels(&pod.labels)
    }

    /// Scrapes `pod` at the interval, from `phase` from now on, until aborted.
    ///
    /// A scrape ends before the next begins; scrapes that would have begun meanwhile are skipped. A
    /// pod without requests is asked less often, until it has some or a gateway waits.
    pub(super) async fn run(
        mut self,
        pod: Pod,
        start: PodStart,
        state: watch::Sender<ScrapeState>,
    ) {
        let address = pod.address;
        let PodStart { phase, found } = start;
        let mut lives = LifeFollower::new(found);
        state.send_modify(|state| state.life = lives.life());
        let mut scraper = match self.scraper(&pod) {
            Ok(scraper) => scraper,
            Err(fault) => return drop(state.send_replace(Failure::of_page(fault).unusable())),
        };
        let mut link = Link::new();
        let mut due = Instant::now() + phase;
        let mut left_alone = false;
        loop {
            self.wait(due, left_alone).await;
            let permit = self.permits.acquire(&link).await;
            let began = Instant::now();
            let asked = Moment { at: began, unix_ms: unix_ms(SystemTime::now()) };
            let outcome = with_permit(permit, scraper.once()).await;
            self.meters.scraped(&self.pool, address, began.elapsed(), &outcome);
            let now = Instant::now();
            let idle = outcome.as_ref().is_ok_and(|it| it.waiting == 0 && it.running == 0);
            match &outcome {
                Ok(reading) => lives.read(asked, reading),
                Err(fault) => lives.failed(fault),
            }
            let outcome = match outcome {
                Ok(reading) => Ok(TimedReading { at: began, reading }),
                Err(fault) => Err(self.failure(&pod, fault).await),
            };
            record(address, outcome, Known { link: &mut link, life: lives.life() }, &state);
            left_alone = idle && self.waiting.borrow().is_empty();
            let interval = self.pace.interval(left_alone);
            let interval = schedule::interval(interval, scraper.page_bytes());
            // A scrape may begin before it was due, when a gateway begins to wait: the grid moves
            // with it.
            due = schedule::next_start(due.min(began), now, interval, link.wait());
        }
    }

    /// Judges a failed scrape. Where metrics have a port of their own, that one says nothing about the port that serves
    /// requests, which is then tried.
    async fn failure(&self, pod: &Pod, fault: Fault) -> Failure {
        let is_apart = self.metrics_port(pod, &self.engine_for(pod)) != pod.address.port();
        if !fault.is_about_connection() || !is_apart {
            return Failure::of_page(fault);
        }
        let connection = time::timeout(self.pace.timeout, TcpStream::connect(pod.address)).await;
        Failure { fault, serves: matches!(connection, Ok(Ok(_))) }
    }

    fn metrics_port(&self, pod: &Pod, engine: &Engine) -> u16 {
        self.source.port.or(engine.port).unwrap_or_else(|| pod.address.port())
    }

    /// Returns the port of a pod that serves requests. The source's TLS is that of the metrics, and of this port where they
    /// are one.
    pub(super) fn serving(&self, pod: &Pod) -> Peer {
        let authority = pod.address.to_string();
        let is_one = self.metrics_port(pod, &self.engine_for(pod)) == pod.address.port();
        let tls = self.tls.clone().filter(|_| is_one);
        Peer { host: authority.clone(), authority, tls, http2: pod.http2 }
    }

    fn scraper(&self, pod: &Pod) -> Result<PodScraper, Fault> {
        let engine = self.engine_for(pod);
        let pages = self.pages(pod, &engine)?;
        PodScraper::new(pages, self.pace.timeout, engine)
    }

    /// Returns the places of the pod's pages.
    fn pages(&self, pod: &Pod, engine: &Engine) -> Result<MetricsPages, Fault> {
        let port = self.metrics_port(pod, engine);
        let authority = SocketAddr::new(pod.address.ip(), port).to_string();
        let uri = |path: &str| {
            path.parse::<Uri>().map_err(|why| Fault::Unreachable(format!("{path:?}: {why}")))
        };
        let path = self.source.path.as_deref().or(engine.path.as_deref()).unwrap_or("/metrics");
        // A path in the settings means that page and no selection of it.
        let selection = engine.selection().filter(|_| self.source.path.is_none());
        let selection = selection.as_deref().map(uri).transpose()?;
        // A pool's HTTP/2 is that of its target ports.
        let http2 = pod.http2 && port == pod.address.port();
        let peer = Peer { host: authority.clone(), authority, tls: self.tls.clone(), http2 };
        Ok(MetricsPages { peer, whole: uri(path)?, selection })
    }

    /// Waits until the next scrape is due. The scrape of a pod that is left alone comes at once
    /// when a gateway begins to wait.
    async fn wait(&mut self, due: Instant, left_alone: bool) {
        let sleep = time::sleep_until(due.into());
        if !left_alone {
            return sleep.await;
        }
        tokio::select! {
            () = sleep => (),
            Ok(_) = self.waiting.wait_for(|gateways| !gateways.is_empty()) => (),
        }
    }
}

/// Gives the permit back at the end, or when the scrape has taken too long.
async fn with_permit<T>(
    permit: Option<OwnedSemaphorePermit>,
    scrape: impl Future<Output = T>,
) -> T {
    tokio::pin!(scrape);
    if let Ok(outcome) = time::timeout(PERMIT_MAX, &mut scrape).await {
        return outcome;
    }
    drop(permit);
    scrape.await
}

fn record(
    address: SocketAddr,
    outcome: Result<TimedReading, Failure>,
    known: Known<'_>,
    state: &watch::Sender<ScrapeState>,
) {
    let now = Instant::now();
    let Known { link, life } = known;
    let name = format_args!("pod {address}");
    match outcome {
        Ok(reading) => {
            log_success(name, link.succeeded(now));
            let reading = Some(reading);
            state.send_replace(ScrapeState { tried: true, trouble: None, reading, life });
        }
        Err(failure) => {
            let fault = &failure.fault;
            log_failure(name, link.failed(now, fault.kind()), fault);
            let trouble = link.is_down().then(|| failure.trouble());
            state.send_modify(|state| {
                state.tried = true;
                state.life = life;
                // The last good reading stays while the pod may come back: its age says how much it is worth. A page
                // that cannot be read says that it is worth nothing.
                if matches!(trouble, Some(Trouble::Unread(_))) {
                    state.reading = None;
                }
                state.trouble = trouble;
            });
        }
    }
}

impl Failure {
    /// Returns the failure of a scrape at the port that serves requests: a page that is no page shows that it does.
    const fn of_page(fault: Fault) -> Self {
        let serves = fault.is_about_page();
        Self { fault, serves }
    }

    fn trouble(&self) -> Trouble {
        let why = self.fault.to_string();
        if self.serves { Trouble::Unread(why) } else { Trouble::Down(why) }
    }

    /// Returns the state of a pod that is never scraped.
    fn unusable(&self) -> ScrapeState {
        ScrapeState { tried: true, trouble: Some(self.trouble()), ..ScrapeState::default() }
    }
}
