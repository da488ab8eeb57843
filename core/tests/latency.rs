//! Lessons from how long tokens take, and the plugins that go by them.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::{net::SocketAddr, time::Duration};

use picker_core::{
    Config, End, Endpoint, Event, Filter, Health, Incarnation, InferenceRequest, Instant, Metrics,
    Picker, Profile, Randomness, RequestId, Scheduler, Scorer, ScorerWeight, Slo, Snapshot,
    WeightedScorer,
    filter::HeadroomTier,
    ledger::{Account, Ledger},
    score::{Headroom, Latency},
};

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 8000))
}

/// Returns an endpoint with a batch of this size and this many hundredths of its KV cache in use.
fn endpoint(last: u8, (running, kv_percent): (u32, u8)) -> Endpoint {
    let metrics = Metrics::default().running(running).kv_usage(f32::from(kv_percent) / 100.0);
    Endpoint {
        address: address(last),
        health: Health::Up,
        metrics: Some(metrics),
        labels: Vec::new(),
        incarnation: Incarnation::default(),
    }
}

fn renew(scheduler: &mut Scheduler, endpoints: Vec<Endpoint>) {
    let snapshot = Snapshot { pool: "default".to_owned(), endpoints, ..Snapshot::default() };
    let _ = scheduler.handle(Event::Snapshot { snapshot, received_at: at(0) });
}

/// Makes a scheduler that knows: a first token takes 10 ms and one more for each request in the
/// batch, a further one 1 ms and a tenth more for each hundredth of the KV cache.
fn taught(latency: Latency, filters: Vec<Filter>) -> Scheduler {
    let scorers =
        vec![WeightedScorer { scorer: Scorer::Latency(latency), weight: ScorerWeight::ONE }];
    let picker = Picker::default();
    let profile = Profile { name: "default".to_owned(), filters, scorers, picker };
    let mut scheduler = Scheduler::new(
        Config { scheduling: profile.into(), ..Config::default() },
        Randomness::from_seed(1),
    );
    for turn in 0..400_u32 {
        let (running, kv_percent) = (turn * 37 % 100, u8::try_from(turn * 59 % 101).unwrap());
        renew(&mut scheduler, vec![endpoint(1, (running, kv_percent))]);
        let (request, ask) = (RequestId(turn), InferenceRequest::default());
        let decision = scheduler.decide(at(0), &ask, &Ledger::default()).unwrap();
        let ttft = Duration::from_millis(u64::from(10 + running));
        let tpot = Duration::from_micros(1_000 + 100 * u64::from(kv_percent));
        for event in [
            Event::Sent { request, at: at(0), ask, decision },
            Event::FirstToken { request, at: at(0) + ttft },
            Event::Streamed { request, tpot },
            Event::Ended { request, at: at(0) + ttft, end: End::Whole },
        ] {
            let _ = scheduler.handle(event);
        }
    }
    scheduler
}

/// Returns the scores of such endpoints, for a request with these objectives in ms; the ledger
/// counts one request at each with a batch. `None` for those that a filter drops.
fn scores(
    scheduler: &mut Scheduler,
    pool: &[(u32, u8)],
    (ttft, tpot): (u64, u64),
) -> Vec<Option<f64>> {
    let numbered = || (1_u8..).zip(pool);
    renew(scheduler, numbered().map(|(last, load)| endpoint(last, *load)).collect());
    let millis = |ms| Some(Duration::from_millis(ms));
    let slo = Slo { ttft: millis(ttft), tpot: millis(tpot) };
    let busy = numbered().filter(|(_, (running, _))| *running > 0);
    let account =
        |last| Account { endpoint: address(last).into(), requests: 1, ..Account::default() };
    let accounts = busy.map(|(last, _)| account(last)).collect();
    let ledger = Ledger { accounts, ..Ledger::default() };
    let shown =
        scheduler.explain(at(0), &InferenceRequest { slo, ..InferenceRequest::default() }, &ledger);
    let scored = |address| {
        let found = shown.profiles[0].endpoints.iter().find(|it| it.endpoint == address).unwrap();
        found.total.map(|total| (total * 10.0).round() / 10.0)
    };
    numbered().map(|(last, _)| scored(address(last))).collect()
}

/// First tokens after 20, 40 and 60 ms, further ones after 2, 4 and 6.
const ALIKE: [(u32, u8); 3] = [(10, 10), (30, 30), (50, 50)];

const NONE: Option<f64> = Some(0.0);

#[test]
fn the_most_or_the_least_headroom_is_best() {
    let most = Latency { prefers: Headroom::Most, ..Latency::default() };
    let told = |latency| scores(&mut taught(latency, Vec::new()), &ALIKE, (1_000, 1_000));
    assert_eq!(told(most), [Some(1.0), Some(0.5), NONE]);
    assert_eq!(told(Latency::default()), [NONE, Some(0.5), Some(1.0)]);
}

#[test]
fn only_the_best_tier_is_scored() {
    let mut scheduler = taught(Latency::default(), Vec::new());
    let only = |scheduler: &mut Scheduler, pool: &[(u32, u8)], slo| {
        let scores = scores(scheduler, pool, slo);
        scores.iter().map(|score| *score > NONE).collect::<Vec<_>>()
    };
    assert_eq!(only(&mut scheduler, &ALIKE, (30, 1_000)), [true, false, false], "meets both");
    assert_eq!(only(&mut scheduler, &ALIKE, (1_000, 3)), [true, false, false], "meets both");
    // The one is late with the first token, the other with all others.
    let unlike = [(50, 1), (1, 50)];
    assert_eq!(
        only(&mut scheduler, &unlike, (30, 3)),
        [false, true],
        "the first token comes first"
    );
    assert_eq!(only(&mut scheduler, &[(50, 50), (50, 1)], (30, 3)), [false, true], "one in time");
    assert_eq!(
        scores(&mut scheduler, &ALIKE, (1, 1)),
        [Some(1.0), Some(0.5), NONE],
        "all too late"
    );
    assert_eq!(
        only(&mut scheduler, &[(1, 1), (0, 50)], (1, 0)),
        [false, true],
        "too late, but idle"
    );
}

#[test]
fn weights_tell_which_objective_counts() {
    let unlike = [(10, 50), (50, 10)];
    for (ttft_weight, tpot_weight, expected) in [
        (1.0, 0.0, [Some(1.0), NONE]),
        (0.0, 1.0, [NONE, Some(1.0)]),
        (0.0, 0.0, [Some(1.0), NONE]),
        (0.8, 0.2, [Some(0.8), Some(0.2)]),
        (2.0, 3.0, [Some(0.4), Some(0.6)]),
    ] {
        let prefers = Headroom::Most;
        let latency = Latency { prefers, ttft_weight, tpot_weight, ..Latency::default() };
        let told = scores(&mut taught(latency, Vec::new()), &unlike, (1_000, 1_000));
        assert_eq!(told, expected, "{ttft_weight} {tpot_weight}");
    }
    // A time that is the same everywhere does not count: here that of the first token.
    let most = Latency { prefers: Headroom::Most, ..Latency::default() };
    let told = scores(&mut taught(most, Vec::new()), &[(10, 50), (10, 10)], (1_000, 1_000));
    assert_eq!(told, [NONE, Some(1.0)]);
}

#[test]
fn the_tier_filter_goes_by_both_objectives() {
    let tier = Filter::HeadroomTier(HeadroomTier { exploration: 0.0 });
    let mut scheduler = taught(Latency::default(), vec![tier]);
    let mut kept = |slo| {
        let scores = scores(&mut scheduler, &ALIKE, slo);
        scores.iter().map(Option::is_some).collect::<Vec<_>>()
    };
    assert_eq!(kept((50, 1_000)), [true, true, false]);
    assert_eq!(kept((1_000, 3)), [true, false, false]);
    assert_eq!(kept((1, 1)), [true, true, true], "none meets them");
}
