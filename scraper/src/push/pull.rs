//! Gateways that fetch their snapshots, where no connection to them is allowed.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use axum::{
    body::Body,
    extract::{ConnectInfo, Path, State},
    http::{
        HeaderMap, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH},
    },
    response::{IntoResponse, Response},
};
use picker_core::exchange::GatewayId;
use tokio::{
    sync::{Semaphore, watch},
    time,
};
use tracing::warn;
use wire::{
    exchange,
    push::{self, Clocks, PushHistory, SEQUENCE_HEADER, SIGNATURE_HEADER, TIME_HEADER},
    reply::{HAVE_HEADER, Have, REPLY_BYTES_MAX},
};

use super::{
    pusher::{EnvoyStatus, TimedReport},
    reader::{ReadReply, ReplyTaker},
    signed_snapshot::{Round, SignedSnapshot, await_turn},
};
use crate::{clock::unix_ms, exchange::SealedPart};

/// Time for which a gateway that states no preference is kept waiting for something new.
const WAIT_DEFAULT: Duration = Duration::ZERO;

/// The longest wait that a gateway may ask for: proxies end idle requests after a minute.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Gateways that are remembered by address, for the status page.
const GATEWAYS_MAX: usize = 1024;

/// Time after which a gateway that has not asked is gone.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Reports that are read at once: strangers may send some too, of 1 MiB each before their signature
/// can be checked.
const READS_MAX: usize = 16;

/// Longest time for a report to come whole.
const READ_TIME_MAX: Duration = Duration::from_secs(5);

/// The state that all fetches share.
#[derive(Clone, Debug)]
pub(crate) struct PullState {
    pools: Arc<[Arc<str>]>,
    rounds: watch::Receiver<Option<Round>>,
    seen: Arc<Mutex<BTreeMap<IpAddr, FetchingGateway>>>,
    replies: ReplyTaker,
    reads: Arc<Semaphore>,
    /// Start of the clock by which reports are told from recorded ones.
    began: Instant,
}

/// A gateway that fetches.
#[derive(Clone, Debug)]
struct FetchingGateway {
    /// Time when the gateway last asked.
    at: Instant,
    /// Stamps of the reports on each pool that were taken.
    histories: BTreeMap<Arc<str>, PushHistory>,
    /// Last report on each pool.
    reports: BTreeMap<Arc<str>, TimedReport>,
    /// Id in the exchange, if the gateway takes part.
    member: Option<GatewayId>,
}

impl FetchingGateway {
    fn new() -> Self {
        let (histories, reports) = (BTreeMap::new(), BTreeMap::new());
        Self { at: Instant::now(), histories, reports, member: None }
    }
}

impl PullState {
    pub(crate) fn new(
        pools: Arc<[Arc<str>]>,
        rounds: watch::Receiver<Option<Round>>,
        replies: ReplyTaker,
    ) -> Self {
        let reads = Arc::new(Semaphore::new(READS_MAX));
        Self { pools, rounds, seen: Arc::default(), replies, reads, began: Instant::now() }
    }

    /// Returns the gateways that fetch, as those that are pushed to are seen: taken is when each
    /// last asked.
    pub(crate) fn gateways(&self, now: Instant) -> BTreeMap<IpAddr, EnvoyStatus> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, it| now.saturating_duration_since(it.at) < SILENCE_MAX);
        let status = |it: &FetchingGateway| {
            let reports = it.reports.clone();
            EnvoyStatus { taken: Some(it.at), down: None, reports, member: it.member }
        };
        seen.iter().map(|(address, it)| (*address, status(it))).collect()
    }

    fn record(&self, address: IpAddr) {
        self.change(address, |gateway| gateway.at = Instant::now());
    }

    fn change(&self, address: IpAddr, change: impl FnOnce(&mut FetchingGateway)) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() < GATEWAYS_MAX || seen.contains_key(&address) {
            change(seen.entry(address).or_insert_with(FetchingGateway::new));
        }
    }

    /// Takes in a gateway's report. Returns what came of it.
    async fn take(
        &self,
        asked: &Asked<'_>,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<KnownGateway, String> {
        let header = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
        let signed = push::Headers::parse(
            header(TIME_HEADER),
            header(SEQUENCE_HEADER),
            header(SIGNATURE_HEADER),
        );
        let stamp = signed.map_err(|why| why.to_string())?.stamp;
        let wall_ms = unix_ms(SystemTime::now());
        let steady = picker_core::Instant::from_nanos(
            u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX),
        );
        let history = self.history(asked).take(Clocks { wall_ms, steady }, stamp);
        let history = history.map_err(|why| why.to_string())?;
        // The semaphore is never closed.
        let _permit = self.reads.acquire().await;
        let read = axum::body::to_bytes(body, REPLY_BYTES_MAX);
        let body = time::timeout(READ_TIME_MAX, read).await;
        let body = body.map_err(|_| format!("the report took over {READ_TIME_MAX:?}"))?;
        let body = body.map_err(|why| format!("failed to read the report: {why}"))?;
        let ReadReply { report, have, member } =
            self.replies.take(asked.pool, stamp, headers, &body)?;
        let report = report.map(|report| TimedReport { at: Instant::now(), report });
        self.change(asked.address, |it| {
            it.histories.insert(Arc::clone(asked.pool), history);
            it.member = member;
            it.reports.extend(report.map(|report| (Arc::clone(asked.pool), report)));
        });
        Ok(KnownGateway { have, member })
    }

    fn history(&self, asked: &Asked<'_>) -> PushHistory {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seen.get(&asked.address).and_then(|it| it.histories.get(asked.pool));
        known.cloned().unwrap_or_default()
    }
}

/// A request for a snapshot.
struct Asked<'a> {
    pool: &'a Arc<str>,
    address: IpAddr,
}

/// Knowledge of a gateway by its report.
#[derive(Debug, Default)]
struct KnownGateway {
    /// Name of the reply of which the counts were taken.
    have: Option<Have>,
    /// Id, if the gateway takes part in the exchange.
    member: Option<GatewayId>,
}

/// Answers a POST to `/v1/pools/{pool}/snapshot`, which brings the gateway's report, as a GET. A
/// report that is refused keeps no snapshot from the gateway: the log has the reason.
pub(crate) async fn report_and_snapshot(
    State(pulls): State<PullState>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(pool): Path<String>,
    asked: HeaderMap,
    body: Body,
) -> Response {
    let known = pulls.pools.iter().find(|known| ***known == *pool).cloned();
    let known = match known {
        Some(pool) => {
            let of = Asked { pool: &pool, address: peer.ip() };
            let taken = pulls.take(&of, &asked, body).await;
            let refused = |why| warn!("failed to take the report of gateway {}: {why}", peer.ip());
            taken.map_err(refused).unwrap_or_default()
        }
        None => KnownGateway::default(),
    };
    let wants_exchange = pulls.replies.wants_exchange(&pool);
    let mut response = fetch(&pulls, peer.ip(), &pool, &asked, known.member).await;
    let have = known.have.and_then(|have| HeaderValue::try_from(have.to_string()).ok());
    let headers = response.headers_mut();
    headers.extend(have.map(|it| (HeaderName::from_static(HAVE_HEADER), it)));
    if wants_exchange {
        headers.insert(exchange::EXCHANGE_HEADER, HeaderValue::from_static(exchange::VERSION));
    }
    response
}

/// Answers `/v1/pools/{pool}/snapshot` with the same bytes under the same signature as a push. A
/// gateway that has the newest snapshot (`If-None-Match`) waits for the next, as long as it prefers
/// (RFC 7240).
pub(crate) async fn snapshot(
    State(pulls): State<PullState>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(pool): Path<String>,
    asked: HeaderMap,
) -> Response {
    fetch(&pulls, peer.ip(), &pool, &asked, None).await
}

/// Answers a request of this address, with a part for the gateway where it takes part in the exchange.
async fn fetch(
    pulls: &PullState,
    address: IpAddr,
    pool: &str,
    asked: &HeaderMap,
    member: Option<GatewayId>,
) -> Response {
    if !pulls.pools.iter().any(|known| **known == *pool) {
        let known = pulls.pools.join(", ");
        let said = format!("found pool {pool:?}; allowed: {known}\n");
        return (StatusCode::NOT_FOUND, said).into_response();
    }
    pulls.record(address);
    let tag = asked.get(IF_NONE_MATCH);
    let mut rounds = pulls.rounds.clone();
    let newer = rounds.wait_for(|round| find(round, pool, |it| tag != Some(&it.tag)) == Some(true));
    let is_new = matches!(time::timeout(wait(asked), newer).await, Ok(Ok(_)));
    if let Some(id) = member.filter(|_| is_new) {
        await_turn(&pulls.rounds, pulls.replies.turn(id)).await;
    }
    let answer = find(&pulls.rounds.borrow(), pool, |signed| {
        let part = member.filter(|_| is_new);
        answer(signed, part.and_then(|id| pulls.replies.part(pool, id, signed.stamp)))
    });
    match answer {
        Some(_) if !is_new => StatusCode::NOT_MODIFIED.into_response(),
        Some(answer) => answer,
        None => (StatusCode::SERVICE_UNAVAILABLE, "the pool is not known yet\n").into_response(),
    }
}

/// Applies `then` to the pool's snapshot, if there is one.
fn find<T>(
    round: &Option<Round>,
    pool: &str,
    then: impl FnOnce(&SignedSnapshot) -> T,
) -> Option<T> {
    round.iter().flat_map(Round::iter).find(|it| *it.pool == *pool).map(|it| then(it))
}

fn answer(signed: &SignedSnapshot, part: Option<SealedPart>) -> Response {
    let mut headers = signed.headers.clone();
    let body = signed.with_part(part, &mut headers);
    headers.insert(ETAG, signed.tag.clone());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    (headers, body).into_response()
}

/// Reads `Prefer: wait=SECONDS`.
fn wait(asked: &HeaderMap) -> Duration {
    let prefer = asked.get(HeaderName::from_static("prefer")).and_then(|it| it.to_str().ok());
    let mut preferences = prefer.into_iter().flat_map(|it| it.split([',', ';']));
    let seconds = preferences.find_map(|it| it.trim().strip_prefix("wait=")?.parse().ok());
    seconds.map_or(WAIT_DEFAULT, Duration::from_secs).min(WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preference_is_seconds_within_bounds() {
        let wait = |value: &'static str| {
            let headers = [(HeaderName::from_static("prefer"), HeaderValue::from_static(value))];
            wait(&headers.into_iter().collect())
        };
        assert_eq!(wait("wait=1"), Duration::from_secs(1));
        assert_eq!(wait("respond-async, wait=10"), Duration::from_secs(10));
        assert_eq!(wait("wait=999999"), WAIT_MAX);
        assert_eq!(wait("wait=soon"), WAIT_DEFAULT);
        assert_eq!(super::wait(&HeaderMap::new()), WAIT_DEFAULT);
    }
}
