//! The fetching of a pool's snapshots from the scraper, for networks in which the scraper may not connect
//! to this Envoy.
//!
//! A worker asks for a snapshot newer than the stored one, by the entity tag, and lets the scraper wait
//! for that (`Prefer: wait`, RFC 7240): so snapshots are here as early as if they were pushed, and
//! no timer of Envoy's has to run for it.

use std::rc::Rc;

use picker_core::pull::FetchOutcome;
use wire::push::Stamp;

use crate::{
    host::{self, Headers},
    pool::Pool,
    receiver::{Receiver, Refused},
    source::Source,
    vm,
};

/// Time for which the scraper may wait for something new: half of the shortest time-out.
const WAIT: &str = "wait=1";

/// Asks for the next snapshot, if that is for this worker to do now.
pub(crate) fn ask(pool: &Pool) {
    let Some(source) = source(pool) else { return };
    let config = &source.config;
    let now = host::now();
    let read = pool.store.pull_lease();
    let turn = vm::in_pool(pool.id, |state| state.fetching.puller.turn(now, read.lease));
    let Some(lease) = turn else { return };
    // Of several workers that read the same lease one fetches.
    if !pool.store.take_pull_lease(lease, &read) {
        return;
    }
    let tag = pool.store.stamp().map(Stamp::entity_tag);
    let mut headers = vec![
        (":method", "GET"),
        (":scheme", "http"),
        (":path", config.path.as_str()),
        (":authority", config.authority.as_str()),
        ("prefer", WAIT),
    ];
    headers.extend(tag.as_deref().map(|tag| ("if-none-match", tag)));
    let token = host::http_call(&config.cluster, headers, config.timeout);
    vm::in_pool(pool.id, |state| {
        state.fetching.token = token;
        state.fetching.puller.asked(now);
    });
    if token.is_none() {
        let cluster = &config.cluster;
        record_outcome(pool, Err(format!("Envoy has no cluster {cluster:?}: see pull.cluster")));
    }
}

fn source(pool: &Pool) -> Option<Rc<Source>> {
    vm::in_pool(pool.id, |state| state.fetching.source.clone())
}

/// Takes in an answer, if it is one to this pool's call, and asks on.
pub(crate) fn answered(pool: &Pool, token: u32, headers: usize, body_size: usize) {
    // An answer that was given up is late, and another request is on its way.
    let is_ours = vm::in_pool(pool.id, |state| {
        state.fetching.token.take_if(|awaited| *awaited == token).is_some()
    });
    if !is_ours {
        return;
    }
    // The SDK panics where there are no headers to read, which would end this VM.
    let headers = if headers > 0 { host::http_call_response_headers() } else { Headers::none() };
    record_outcome(pool, take(pool, &headers, body_size));
    ask(pool);
}

fn take(pool: &Pool, headers: &Headers, body_size: usize) -> Result<FetchOutcome, String> {
    let Some(source) = source(pool) else { return Ok(FetchOutcome::Nothing) };
    match headers.last(":status") {
        Some(b"200") => store(pool, &source.receiver, headers, body_size),
        Some(b"304") => Ok(FetchOutcome::Nothing),
        Some(status) => Err(format!("answered {}", String::from_utf8_lossy(status))),
        None => Err("no answer: the connection was reset".to_owned()),
    }
}

fn store(
    pool: &Pool,
    receiver: &Receiver,
    headers: &Headers,
    body_size: usize,
) -> Result<FetchOutcome, String> {
    if u64::try_from(body_size).is_ok_and(|size| size > receiver.max_bytes) {
        let limit = receiver.max_bytes;
        return Err(format!("found a snapshot of over {limit} bytes; see pull.maxBytes"));
    }
    let body = host::http_call_response_body(body_size);
    match receiver.take(headers, body) {
        Ok(taken) if taken.snapshot.pool == pool.config.name => {
            receiver.stats.snapshots_stored.increment();
            Ok(FetchOutcome::Stored)
        }
        Ok(taken) => {
            let found = taken.snapshot.pool;
            let allowed = &pool.config.name;
            Err(format!("found a snapshot of pool {found:?}; allowed: {allowed:?}: see pull.path"))
        }
        // Another worker has stored it, or a newer one.
        Err(Refused { status: 409, .. }) => Ok(FetchOutcome::Nothing),
        Err(Refused { message, .. }) => {
            receiver.stats.snapshots_refused.increment();
            Err(message)
        }
    }
}

/// Tells the puller how a call ended, and logs a change between trouble and success.
fn record_outcome(pool: &Pool, outcome: Result<FetchOutcome, String>) {
    let now = host::now();
    let fetched = *outcome.as_ref().unwrap_or(&FetchOutcome::Failed);
    let trouble = outcome.err();
    let before = vm::in_pool(pool.id, |state| {
        state.fetching.puller.answered(now, fetched);
        std::mem::replace(&mut state.fetching.trouble, trouble.clone())
    });
    let name = &pool.config.name;
    match trouble {
        Some(why) if before.as_ref() != Some(&why) => {
            log::warn!("failed to fetch the snapshot of pool {name}: {why}");
        }
        None if before.is_some() => log::info!("fetches snapshots of pool {name} again"),
        Some(_) | None => (),
    }
}
