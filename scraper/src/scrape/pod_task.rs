//! The task that scrapes one pod, again and again.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use hyper::Uri;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time,
};
use wire::metrics::{Engine, Engines, Reading};

use super::{
    pod_scraper::{MetricsPages, PodScraper},
    schedule,
};
use crate::{
    meters::Meters,
    peer::{Fault, Link, Peer, TlsClient, log_failure, log_success},
    pool::{Pod, ScrapeState, TimedReading, WaitingReceiver},
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
    /// Permits to scrape, shared by all pools.
    pub(crate) permits: Arc<Semaphore>,
    /// Gateways that hold requests of the pool.
    pub(crate) waiting: WaitingReceiver,
    pub(crate) meters: Arc<Meters>,
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
        phase: Duration,
        state: watch::Sender<ScrapeState>,
    ) {
        let address = pod.address;
        let mut scraper = match self.scraper(&pod) {
            Ok(scraper) => scraper,
            Err(fault) => return drop(state.send_replace(unusable(&fault))),
        };
        let mut link = Link::new();
        let mut due = Instant::now() + phase;
        let mut left_alone = false;
        loop {
            self.wait(due, left_alone).await;
            let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
            let began = Instant::now();
            let outcome = with_permit(permit, scraper.once()).await;
            self.meters.scraped(&self.pool, address, began.elapsed(), &outcome);
            let now = Instant::now();
            let idle = outcome.as_ref().is_ok_and(|it| it.waiting == 0 && it.running == 0);
            record(address, began, outcome, &mut link, &state);
            left_alone = idle && self.waiting.borrow().is_empty();
            let interval = self.pace.interval(left_alone);
            let interval = schedule::interval(interval, scraper.page_bytes());
            // A scrape may begin before it was due, when a gateway begins to wait: the grid moves
            // with it.
            due = schedule::next_start(due.min(began), now, interval, link.wait());
        }
    }

    fn scraper(&self, pod: &Pod) -> Result<PodScraper, Fault> {
        let engine = self.engine_for(pod);
        let pages = self.pages(pod, &engine)?;
        PodScraper::new(pages, self.pace.timeout, engine)
    }

    /// Returns the places of the pod's pages.
    fn pages(&self, pod: &Pod, engine: &Engine) -> Result<MetricsPages, Fault> {
        let port = self.source.port.or(engine.port).unwrap_or_else(|| pod.address.port());
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
    began: Instant,
    outcome: Result<Reading, Fault>,
    link: &mut Link,
    state: &watch::Sender<ScrapeState>,
) {
    let now = Instant::now();
    let name = format_args!("pod {address}");
    match outcome {
        Ok(reading) => {
            log_success(name, link.succeeded(now));
            let reading = Some(TimedReading { at: began, reading });
            state.send_replace(ScrapeState { tried: true, down: None, reading });
        }
        Err(fault) => {
            log_failure(name, link.failed(now, fault.kind()), &fault);
            // The last good reading stays: its age says how much it is worth.
            let down = link.is_down().then(|| fault.to_string());
            state.send_modify(|state| {
                state.tried = true;
                state.down = down;
            });
        }
    }
}

fn unusable(fault: &Fault) -> ScrapeState {
    ScrapeState { tried: true, down: Some(fault.to_string()), reading: None }
}
