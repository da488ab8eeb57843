//! Gateways that fetch their snapshots, where no connection to them is allowed.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    extract::{ConnectInfo, Path, State},
    http::{
        HeaderMap, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH},
    },
    response::{IntoResponse, Response},
};
use tokio::{sync::watch, time};

use super::signed_snapshot::{Round, SignedSnapshot};

/// Time for which a gateway that states no preference is kept waiting for something new.
const WAIT_DEFAULT: Duration = Duration::ZERO;

/// The longest wait that a gateway may ask for: proxies end idle requests after a minute.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Gateways that are remembered by address, for the status page.
const GATEWAYS_MAX: usize = 1024;

/// Time after which a gateway that has not asked is gone.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// The state that all fetches share.
#[derive(Clone, Debug)]
pub(crate) struct PullState {
    pools: Arc<[Arc<str>]>,
    rounds: watch::Receiver<Option<Round>>,
    /// Time when each gateway last asked.
    seen: Arc<Mutex<BTreeMap<IpAddr, Instant>>>,
}

impl PullState {
    pub(crate) fn new(pools: Arc<[Arc<str>]>, rounds: watch::Receiver<Option<Round>>) -> Self {
        Self { pools, rounds, seen: Arc::default() }
    }

    /// Returns the gateways that fetch, with the time when each last asked.
    pub(crate) fn gateways(&self, now: Instant) -> BTreeMap<IpAddr, Instant> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, at| now.saturating_duration_since(*at) < SILENCE_MAX);
        seen.clone()
    }

    fn record(&self, address: IpAddr) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() < GATEWAYS_MAX || seen.contains_key(&address) {
            seen.insert(address, Instant::now());
        }
    }
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
    if !pulls.pools.iter().any(|known| **known == *pool) {
        let known = pulls.pools.join(", ");
        let said = format!("found pool {pool:?}; allowed: {known}\n");
        return (StatusCode::NOT_FOUND, said).into_response();
    }
    pulls.record(peer.ip());
    let tag = asked.get(IF_NONE_MATCH);
    let mut rounds = pulls.rounds.clone();
    let newer =
        rounds.wait_for(|round| find(round, &pool, |it| tag != Some(&it.tag)) == Some(true));
    let is_new = matches!(time::timeout(wait(&asked), newer).await, Ok(Ok(_)));
    let answer = find(&pulls.rounds.borrow(), &pool, answer);
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
    round.iter().flat_map(|round| round.iter()).find(|it| *it.pool == *pool).map(|it| then(it))
}

fn answer(signed: &SignedSnapshot) -> Response {
    let mut headers = signed.headers.clone();
    headers.insert(ETAG, signed.tag.clone());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    (headers, signed.body.clone()).into_response()
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
