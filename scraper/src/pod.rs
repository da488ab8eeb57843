//! Scrapes one pod, again and again.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Uri};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time,
};
use wire::metrics::{Engine, Engines, Scanner};

use crate::{
    board::{Pod, Row, Timed},
    client::{Client, Peer},
    codec::Reading,
    fault::Fault,
    link::Link,
    meters::Meters,
    notice, schedule,
    settings::{MetricsSource, Pace},
    tls::Tls,
    waiting::Waited,
};

/// The longest page that is read: vLLM's has 51 kB, and 33 kB more for each further engine, so this
/// has room for some 200 engines and LoRA series, and keeps 256 pods gone mad under 2 GiB.
const PAGE_BYTES_MAX: usize = 8 << 20;

/// How long a scrape may keep its turn from others: four times what a loaded vLLM takes at p99. One
/// that takes longer goes on without, so that pods that hang delay nobody.
const TURN_MAX: Duration = Duration::from_millis(150);

/// Whole pages that are read of a pod that did not select, before it is asked again whether it can:
/// a minute's at the usual interval.
const WHOLES: u32 = 1_200;

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
        self.engines.of(&pod.labels)
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
        let pages = Pages { whole: uri(path)?, selection, wholes: 0 };
        // What a pool says of HTTP/2 is of its target ports.
        let (tls, http2) = (self.tls.clone(), pod.http2 && port == pod.address.port());
        Ok((Peer { host: authority.clone(), authority, tls, http2 }, pages))
    }
}

/// A pod's page, and what may be asked for in its place.
struct Pages {
    whole: Uri,
    /// The wanted families only: of vLLM a twentieth of the page, for a seventh of its time.
    selection: Option<Uri>,
    /// Whole pages that are read before a selection is tried.
    wholes: u32,
}

/// A pod being scraped.
struct Scrape {
    client: Client,
    pages: Pages,
    scanner: Scanner,
    /// Bytes of the last page.
    page_bytes: usize,
}

/// Scrapes `pod` at the interval, from `phase` from now on, until aborted.
///
/// One scrape ends before the next begins; those that would have begun meanwhile are skipped. A pod
/// without requests is asked less often, until it has some or a gateway waits.
pub(crate) async fn run(pod: Pod, mut orders: Orders, phase: Duration, row: watch::Sender<Row>) {
    let (address, engine) = (pod.address, orders.engine_of(&pod));
    let client = orders
        .peer_and_pages(&pod, &engine)
        .and_then(|(peer, it)| Ok((Client::new(peer, orders.pace.timeout, PAGE_BYTES_MAX)?, it)));
    let (client, pages) = match client {
        Ok(client) => client,
        Err(fault) => return drop(row.send_replace(unusable(&fault))),
    };
    let mut scrape = Scrape { client, pages, scanner: Scanner::new(engine), page_bytes: 0 };
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
        let interval = schedule::interval(interval, scrape.page_bytes);
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

impl Scrape {
    /// A selection where the pod has one that is good, or else the whole page: an older engine, or a
    /// proxy in front of it, may not know how to select. One that fails altogether is asked anew for
    /// a selection when it is back, maybe as another version.
    async fn once(&mut self) -> Result<Reading, Fault> {
        let selection = self.pages.selection.clone().filter(|_| self.pages.wholes == 0);
        if let Some(selection) = selection {
            match self.read(selection).await {
                Err(fault) if fault.is_about_page() => (),
                outcome => return outcome,
            }
        }
        let outcome = self.read(self.pages.whole.clone()).await;
        self.pages.wholes = match (&outcome, self.pages.wholes) {
            (Err(_), _) => 0,
            (Ok(_), 0) => WHOLES,
            (Ok(_), left) => left - 1,
        };
        outcome
    }

    async fn read(&mut self, uri: Uri) -> Result<Reading, Fault> {
        let mut request = Request::new(Full::<Bytes>::default());
        *request.uri_mut() = uri;
        let page = self.client.ask(request).await?.body;
        self.page_bytes = page.len();
        self.scanner.scan(&page).map_err(|why| Fault::Garbage(why.to_string()))
    }
}

fn unusable(fault: &Fault) -> Row {
    Row { tried: true, down: Some(fault.to_string()), reading: None }
}
