//! Pushes snapshots to one Envoy.

mod refusals;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use http_body_util::Full;
use hyper::{
    Method, Request, Uri,
    header::{ACCEPT, HeaderValue},
};
use tokio::sync::watch;
use tracing::info;
use wire::push::WAITING_HEADER;

use crate::{
    client::{Client, Peer},
    codec::{self, REPORT_BYTES_MAX, REPORT_MEDIA_TYPE, Report},
    fault::Fault,
    link::{Link, Notice},
    meters::Meters,
    notice,
    publisher::{Parcel, Round},
    settings::EnvoyUrl,
};
use refusals::Refusals;

/// Between two questions what an Envoy knows: twice as often as the status page shows it.
const REPORT_INTERVAL: Duration = Duration::from_millis(500);

/// One Envoy, as the status pages see it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// When it last took a snapshot.
    pub(crate) taken: Option<Instant>,
    /// Why it is down, if it is.
    pub(crate) down: Option<String>,
    /// What it last told of each pool, and when.
    pub(crate) reports: BTreeMap<Arc<str>, (Instant, Report)>,
}

/// What its task needs.
#[derive(Debug)]
pub(crate) struct Pusher {
    pub(crate) url: EnvoyUrl,
    pub(crate) peer: Peer,
    pub(crate) timeout: Duration,
    pub(crate) rounds: watch::Receiver<Option<Round>>,
    pub(crate) standing: watch::Sender<Standing>,
    pub(crate) meters: Arc<Meters>,
}

impl Pusher {
    /// Sends each round that is published while no other is on its way, until there are no more.
    pub(crate) async fn run(mut self) {
        let mut client = match Client::new(self.peer.clone(), self.timeout, REPORT_BYTES_MAX) {
            Ok(client) => client,
            Err(fault) => return self.standing.send_modify(|it| it.down = Some(fault.to_string())),
        };
        let mut past = Past { refusals: Refusals::new(&self.url), sent: BTreeMap::new() };
        let mut link = Link::new();
        let (mut rest_until, mut ask_at) = (Instant::now(), Instant::now());
        // What was made before this gateway was there is new to it.
        self.rounds.mark_changed();
        while self.rounds.changed().await.is_ok() {
            let began = Instant::now();
            let round = self.rounds.borrow_and_update().clone();
            let Some(round) = round.filter(|_| began >= rest_until) else { continue };
            let asks = began >= ask_at;
            if asks {
                ask_at = began + REPORT_INTERVAL;
            }
            let outcome = self.push(&mut client, &mut past, &round, asks).await;
            self.judge(&mut link, &past.refusals, outcome);
            rest_until = began + link.wait();
            // What came meanwhile has aged; the next is at most one interval away and exact, or will be a while.
            let newest = self.rounds.borrow().clone();
            if !newest.iter().flat_map(|it| it.iter()).any(|it| it.is_quiet && !past.has(it)) {
                self.rounds.mark_unchanged();
            }
        }
    }

    /// One pool after another, until the Envoy can't be talked to. Whether it took any.
    async fn push(
        &self,
        client: &mut Client,
        past: &mut Past,
        round: &[Arc<Parcel>],
        asks: bool,
    ) -> Result<bool, Fault> {
        let mut took = false;
        for parcel in round {
            if past.has(parcel) || !past.refusals.is_due(&parcel.pool) {
                continue;
            }
            past.sent.insert(Arc::clone(&parcel.pool), parcel.tag.clone());
            let outcome = push(client, parcel, asks).await;
            self.meters.pushed(&self.url, &outcome);
            parcel.waiting.tell(&self.url, outcome.as_ref().is_ok_and(|told| told.holds));
            match outcome {
                Ok(Told { report, .. }) => {
                    past.refusals.took(&parcel.pool);
                    took = true;
                    if let Some(report) = report {
                        let reported = (Instant::now(), report);
                        self.standing.send_modify(|standing| {
                            standing.reports.insert(Arc::clone(&parcel.pool), reported);
                        });
                    }
                }
                Err(fault) if fault.is_answer() => past.refusals.refused(&parcel.pool, &fault),
                Err(fault) => return Err(fault),
            }
        }
        Ok(took)
    }

    fn judge(&self, link: &mut Link, refusals: &Refusals, outcome: Result<bool, Fault>) {
        let (now, name) = (Instant::now(), format!("Envoy {}", self.url));
        let down = match &outcome {
            Ok(took) => {
                match took.then(|| link.succeeded(now)).flatten() {
                    Some(Notice::Reached) => info!("{name} took its first snapshot"),
                    other => notice::succeeded(name, other),
                }
                refusals.lasting()
            }
            Err(fault) => {
                notice::failed(name, link.failed(now, fault.kind()), fault);
                link.is_down().then(|| fault.to_string())
            }
        };
        self.standing.send_modify(|standing| {
            standing.down = down;
            if outcome == Ok(true) {
                standing.taken = Some(now);
            }
        });
    }
}

/// What one Envoy was sent, and would not have.
struct Past {
    refusals: Refusals,
    /// Of each pool the last parcel. Each is sent once: an Envoy refuses a stamp that it has seen.
    sent: BTreeMap<Arc<str>, HeaderValue>,
}

impl Past {
    fn has(&self, parcel: &Parcel) -> bool {
        self.sent.get(&parcel.pool) == Some(&parcel.tag)
    }
}

/// A gateway that is gone holds nothing.
impl Drop for Pusher {
    fn drop(&mut self) {
        for parcel in self.rounds.borrow().iter().flat_map(|round| round.iter()) {
            parcel.waiting.tell(&self.url, false);
        }
    }
}

/// What an Envoy says with its answer.
struct Told {
    /// Whether it holds requests of the pool.
    holds: bool,
    /// What it knows, if it was asked and knows how to tell.
    report: Option<Report>,
}

async fn push(client: &mut Client, parcel: &Parcel, asks: bool) -> Result<Told, Fault> {
    let mut request = Request::new(Full::new(parcel.body.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static("/v1/snapshot");
    *request.headers_mut() = parcel.headers.clone();
    if asks {
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static(REPORT_MEDIA_TYPE));
    }
    let answer = client.ask(request).await?;
    let waiting = answer.headers.get(WAITING_HEADER).map(HeaderValue::as_bytes);
    let holds = waiting.is_some_and(|waiting| waiting != b"0");
    Ok(Told { holds, report: codec::report(&answer.body) })
}
