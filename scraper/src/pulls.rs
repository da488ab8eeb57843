//! Gateways that fetch their snapshots, where nothing may connect to them.

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

use crate::publisher::{Parcel, Round};

/// How long a gateway that does not say is kept waiting for something new.
const WAIT: Duration = Duration::ZERO;

/// The longest that one may ask for: proxies end idle requests after a minute.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Gateways that are remembered by address, for the status page.
const GATEWAYS_MAX: usize = 1024;

/// One that has not asked for this long is gone.
const GONE: Duration = Duration::from_secs(60);

/// What every fetch needs.
#[derive(Clone, Debug)]
pub(crate) struct Pulls {
    pools: Arc<[Arc<str>]>,
    rounds: watch::Receiver<Option<Round>>,
    seen: Arc<Mutex<BTreeMap<IpAddr, Instant>>>,
}

impl Pulls {
    pub(crate) fn new(pools: Arc<[Arc<str>]>, rounds: watch::Receiver<Option<Round>>) -> Self {
        Self { pools, rounds, seen: Arc::default() }
    }

    /// Who fetches, and when they last asked.
    pub(crate) fn gateways(&self, now: Instant) -> Vec<(IpAddr, Instant)> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, at| now.saturating_duration_since(*at) < GONE);
        seen.iter().map(|(address, at)| (*address, *at)).collect()
    }

    fn note(&self, address: IpAddr) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() < GATEWAYS_MAX || seen.contains_key(&address) {
            seen.insert(address, Instant::now());
        }
    }
}

/// `/v1/pools/{pool}/snapshot`: the same bytes under the same signature as a push. Who has the
/// newest (`If-None-Match`) waits for the next, as long as it prefers (RFC 7240).
pub(crate) async fn snapshot(
    State(pulls): State<Pulls>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(pool): Path<String>,
    asked: HeaderMap,
) -> Response {
    if !pulls.pools.iter().any(|known| **known == *pool) {
        let known = pulls.pools.join(", ");
        let said = format!("found pool {pool:?}; allowed: {known}\n");
        return (StatusCode::NOT_FOUND, said).into_response();
    }
    pulls.note(peer.ip());
    let tag = asked.get(IF_NONE_MATCH);
    let mut rounds = pulls.rounds.clone();
    let newer =
        rounds.wait_for(|round| find(round, &pool, |it| tag != Some(&it.tag)) == Some(true));
    let is_new = matches!(time::timeout(wait(&asked), newer).await, Ok(Ok(_)));
    let parcel = find(&pulls.rounds.borrow(), &pool, answer);
    match parcel {
        Some(_) if !is_new => StatusCode::NOT_MODIFIED.into_response(),
        Some(answer) => answer,
        None => (StatusCode::SERVICE_UNAVAILABLE, "the pool is not known yet\n").into_response(),
    }
}

/// The pool's parcel, if there is one.
fn find<T>(round: &Option<Round>, pool: &str, then: impl FnOnce(&Parcel) -> T) -> Option<T> {
    round.iter().flat_map(|round| round.iter()).find(|it| *it.pool == *pool).map(|it| then(it))
}

fn answer(parcel: &Parcel) -> Response {
    let mut headers = parcel.headers.clone();
    headers.insert(ETAG, parcel.tag.clone());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    (headers, parcel.body.clone()).into_response()
}

/// `Prefer: wait=SECONDS`.
fn wait(asked: &HeaderMap) -> Duration {
    let prefer = asked.get(HeaderName::from_static("prefer")).and_then(|it| it.to_str().ok());
    let mut preferences = prefer.into_iter().flat_map(|it| it.split([',', ';']));
    let seconds = preferences.find_map(|it| it.trim().strip_prefix("wait=")?.parse().ok());
    seconds.map_or(WAIT, Duration::from_secs).min(WAIT_MAX)
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
        assert_eq!(wait("wait=soon"), WAIT);
        assert_eq!(super::wait(&HeaderMap::new()), WAIT);
    }
}
