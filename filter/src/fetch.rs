//! The fetching of a pool's snapshots from the scraper, for networks in which the scraper may not connect
//! to this Envoy.
//!
//! A worker asks for a snapshot newer than the stored one, by the entity tag, and lets the scraper wait
//! for that (`Prefer: wait`, RFC 7240): so snapshots are here as early as if they were pushed, and
//! no timer of Envoy's has to run for it. Now and then the request is a POST, with what a gateway that is
//! pushed to would reply.

use std::{rc::Rc, time::Duration};

use picker_core::{Instant, pull::FetchOutcome};
use wire::{
    exchange,
    push::{self, Stamp},
    reply::{self, Have},
};

use crate::{
    gateway,
    host::{self, Headers},
    pool::Pool,
    receiver::{self, Receiver, Refused, SignedReply},
    report::{self, Body, Questions},
    source::Source,
    vm,
};

/// Time for which the scraper may wait for something new: half of the shortest time-out.
const WAIT: &str = "wait=1";

/// Time between two reports on the pool: as often as a scraper that pushes asks for one.
const REPORT_EVERY: Duration = Duration::from_millis(500);

/// Time without reports after a scraper took none.
const MUTE: Duration = Duration::from_secs(60);

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
    let report = report(pool, &source, now);
    let mut headers = vec![
        (":method", if report.is_some() { "POST" } else { "GET" }),
        (":scheme", "http"),
        (":path", config.path.as_str()),
        (":authority", config.authority.as_str()),
        ("prefer", WAIT),
    ];
    headers.extend(tag.as_deref().map(|tag| ("if-none-match", tag)));
    headers.extend(report.iter().flat_map(SignedReport::headers));
    let body = report.as_ref().map(|report| report.body.as_slice());
    let token = host::http_call(&config.cluster, headers, body, config.timeout);
    vm::in_pool(pool.id, |state| {
        state.fetching.token = token;
        state.fetching.puller.asked(now);
    });
    if token.is_none() {
        let cluster = &config.cluster;
        record_outcome(pool, Err(format!("Envoy has no cluster {cluster:?}: see pull.cluster")));
    }
}

/// A report on a pool that goes to the scraper with the request for a snapshot.
struct SignedReport {
    time: String,
    sequence: String,
    signed: SignedReply,
    kind: &'static str,
    body: Vec<u8>,
}

impl SignedReport {
    fn headers(&self) -> [(&str, &str); 5] {
        [
            ("content-type", self.kind),
            (push::TIME_HEADER, self.time.as_str()),
            (push::SEQUENCE_HEADER, self.sequence.as_str()),
            (reply::GATEWAY_HEADER, self.signed.gateway.as_str()),
            (push::SIGNATURE_HEADER, self.signed.signature.as_str()),
        ]
    }
}

/// Writes the report on a pool, if it is time for one, and what the other gateways are told, if the scraper asks.
fn report(pool: &Pool, source: &Source, now: Instant) -> Option<SignedReport> {
    let (questions, have, secret) = vm::in_pool(pool.id, |state| {
        let fetching = &mut state.fetching;
        let is_due = now >= fetching.report_at;
        if is_due {
            fetching.report_at = now + REPORT_EVERY;
        }
        let questions = Questions { reply: is_due, exchange: fetching.exchanges };
        let asks = questions.reply || questions.exchange;
        asks.then_some((questions, fetching.have, fetching.secret))
    })?;
    let Body { kind, body } = report::of_pull(pool, questions, &source.receiver.stats, have)?;
    // One worker asks at a time, and not twice in a millisecond.
    let stamp = Stamp::new(receiver::wall_ms(), gateway::start(), now.as_nanos() / 1_000_000);
    let signed = source.receiver.sign(secret, stamp, &body);
    let (time, sequence) = (stamp.time_ms.to_string(), stamp.sequence.to_string());
    Some(SignedReport { time, sequence, signed, kind, body })
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
    let have = headers.last(reply::HAVE_HEADER).and_then(Have::parse);
    // An answer to a request without a report says nothing of reports.
    let exchanges = headers.has(exchange::EXCHANGE_HEADER);
    vm::in_pool(pool.id, |state| {
        state.fetching.have = have.or(state.fetching.have);
        state.fetching.exchanges = exchanges;
    });
    record_outcome(pool, take(pool, &headers, body_size));
    ask(pool);
}

fn take(pool: &Pool, headers: &Headers, body_size: usize) -> Result<FetchOutcome, String> {
    let Some(source) = source(pool) else { return Ok(FetchOutcome::Nothing) };
    match headers.last(":status") {
        Some(b"200") => store(pool, &source.receiver, headers, body_size),
        Some(b"304") => Ok(FetchOutcome::Nothing),
        // A scraper of before reports takes GET only.
        Some(b"405") => {
            let later = host::now() + MUTE;
            vm::in_pool(pool.id, |state| state.fetching.report_at = later);
            Ok(FetchOutcome::Nothing)
        }
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
    let size = u64::try_from(body_size).unwrap_or(u64::MAX);
    let taken = receiver.check_size("pull", size).and_then(|()| {
        let signed = Receiver::signed(headers)?;
        receiver.take(&signed, &host::http_call_response_body(body_size))
    });
    match taken {
        Ok(taken) if taken.snapshot.pool == pool.config.name => {
            vm::in_pool(pool.id, |state| state.fetching.secret = taken.secret);
            receiver.stats.snapshots_stored.add(1);
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
            receiver.stats.snapshots_refused.add(1);
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
