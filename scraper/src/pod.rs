//! Scrapes one pod, again and again.

mod scrape;

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
use wire::metrics::{Engine, Engines};

use crate::{
    board::{Pod, Row, Timed},
    client::Peer,
    codec::Reading,
    fault::Fault,
    link::Link,
    meters::Meters,
    notice, schedule,
    settings::{MetricsSource, Pace},
    tls::Tls,
    waiting::Waited,
};
use scrape::{Pages, Scrape};

/// How long a scrape may keep its turn from others: four times what a loaded vLLM takes at p99. One
/// that takes longer goes on without, so that pods that hang delay nobody.
const TURN_MAX: Duration = Duration::from_millis(150);

/// What all tasks of a pool's pods are told.
#[derive(Clone, Debug)]
pub(crate) struct Orders {
    pub(crate) pool: Arc<str>,
    pub(crate) pace: Pace,
    pub(crate) source: MetricsSource,
    /// The source's.
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) engines: Arc<Engines>,
    /// Turns, of all pools together.
    pub(crate) turns: Arc<Semaphore>,
    /// Whether a gateway holds requests of the pool.
    pub(crate) waited: Waited,
    pub(crate) meters: Arc<Meters>,
}

impl Orders {
    pub(crate) fn engine_of(&self, pod: &Pod) -> Arc<Engine> {
        self.engines.for_labels(&pod.labels)
    }

    /// Where the pod's page is.
    fn peer_and_pages(&self, pod: &Pod, engine: &Engine) -> Result<(Peer, Pages), Fault> {
        let port = self.source.port.or(engine.port).unwrap_or_else(|| pod.address.port());
        let authority = SocketAddr::new(pod.address.ip(), port).to_string();
        let uri = |path: &str| {
            path.parse::<Uri>().map_err(|why| Fault::Unreachable(format!("{path:?}: {why}")))
        };
        let path = self.source.path.as_deref().or(engine.path.as_deref()).unwrap_or("/metrics");
        // Who names a path means that page.
        let selection = engine.selection().filter(|_| self.source.path.is_none());
        let selection = selection.as_deref().map(uri).transpose()?;
        let pages = Pages { whole: uri(path)?, selection };
        // What a pool says of HTTP/2 is of its target ports.
        let (tls, http2) = (self.tls.clone(), pod.http2 && port == pod.address.port());
        Ok((Peer { host: authority.clone(), authority, tls, http2 }, pages))
    }
}

/// Scrapes `pod` at the interval, from `phase` from now on, until aborted.
///
/// One scrape ends before the next begins; those that would have begun meanwhile are skipped. A pod
/// without requests is asked less often, until it has some or a gateway waits.
pub(crate) async fn run(pod: Pod, mut orders: Orders, phase: Duration, row: watch::Sender<Row>) {
    let (address, engine) = (pod.address, orders.engine_of(&pod));
    let scrape = orders
        .peer_and_pages(&pod, &engine)
        .and_then(|pages| Scrape::new(pages, orders.pace.timeout, engine));
    let mut scrape = match scrape {
        Ok(scrape) => scrape,
        Err(fault) => return drop(row.send_replace(unusable(&fault))),
    };
    let (mut link, mut due) = (Link::new(), Instant::now() + phase);
    let mut left_alone = false;
    loop {
        wait(due, left_alone, &mut orders).await;
        let turn = Arc::clone(&orders.turns).acquire_owned().await.ok();
        let began = Instant::now();
        let outcome = with_turn(turn, scrape.once()).await;
        orders.meters.scraped(&orders.pool, address, began.elapsed(), &outcome);
        let now = Instant::now();
        let idle = outcome.as_ref().is_ok_and(|it| it.waiting == 0 && it.running == 0);
        record(address, began, outcome, &mut link, &row);
        left_alone = idle && orders.waited.borrow().is_empty();
        let interval = orders.pace.interval(left_alone);
        let interval = schedule::interval(interval, scrape.page_bytes());
        due = schedule::next(due.min(began), now, interval, link.wait());
    }
}

/// Until the next scrape is due. That of a pod that is left alone comes at once when a gateway begins to wait.
async fn wait(due: Instant, left_alone: bool, orders: &mut Orders) {
    let sleep = time::sleep_until(due.into());
    if !left_alone {
        return sleep.await;
    }
    tokio::select! {
        () = sleep => (),
        Ok(_) = orders.waited.wait_for(|gateways| !gateways.is_empty()) => (),
    }
}

/// Gives the turn back at the end, or when the scrape has taken too long.
async fn with_turn<T>(turn: Option<OwnedSemaphorePermit>, scrape: impl Future<Output = T>) -> T {
    tokio::pin!(scrape);
    if let Ok(outcome) = time::timeout(TURN_MAX, &mut scrape).await {
        return outcome;
    }
    drop(turn);
    scrape.await
}

fn record(
    address: SocketAddr,
    began: Instant,
    outcome: Result<Reading, Fault>,
    link: &mut Link,
    row: &watch::Sender<Row>,
) {
    let (now, name) = (Instant::now(), format_args!("pod {address}"));
    match outcome {
        Ok(reading) => {
            notice::succeeded(name, link.succeeded(now));
            let reading = Some(Timed { at: began, reading });
            row.send_replace(Row { tried: true, down: None, reading });
        }
        Err(fault) => {
            notice::failed(name, link.failed(now, fault.kind()), &fault);
            let down = link.is_down().then(|| fault.to_string());
            row.send_modify(|row| (row.tried, row.down) = (true, down));
        }
    }
}

fn unusable(fault: &Fault) -> Row {
    Row { tried: true, down: Some(fault.to_string()), reading: None }
}
