//! Several profiles, failing endpoints, and what is shown of a choice.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

#[path = "scheduling/pods.rs"]
mod pods;
#[path = "scheduling/stages.rs"]
mod stages;

use std::{cell::Cell, net::SocketAddr, time::Duration};

use picker_core::{
    Admitter, Chain, ClientId, Config, Disagg, End, Event, EventKind, Fault, Filter, Handler,
    InferenceRequest, Instant, PlacementEvent, Profile, Randomness, RequestId, ResponseClass,
    Scheduler, Scheduling, Scorer, ScorerWeight, Subset, WeightedScorer, filter::Role,
    ledger::Ledger,
};

use pods::{address, ask, at, decide, endpoint, may_publish, profile, renew, scheduler, told};
use stages::stages;

#[test]
fn a_header_names_the_profile() {
    let handler = Handler::Header { header: "epp-profile".into(), default: "a".into() };
    let profiles = vec![
        profile("a", vec![Filter::Role(Role::Decode)]),
        profile("b", vec![Filter::Role(Role::Prefill)]),
    ];
    let mut scheduler = scheduler(Scheduling { profiles, handler }, stages());
    let mut of = |value: Option<&str>| {
        let headers = value.map(|value| ("epp-profile".to_owned(), value.to_owned()));
        told(decide(
            &mut scheduler,
            &InferenceRequest { headers: headers.into_iter().collect(), ..ask(1) },
        ))
    };
    assert_eq!(
        [of(None), of(Some(" b ")), of(Some("c"))],
        ["10.0.0.1:8000", "10.0.0.3:8000", "no scheduling profile is configured for the request",]
    );
}

#[test]
fn a_subset_narrows_the_pool() {
    let mut scheduler = scheduler(profile("default", Vec::new()).into(), stages());
    let mut of = |list| {
        let subset = Some(Subset::parse(list));
        told(decide(&mut scheduler, &InferenceRequest { subset, ..ask(1) }))
    };
    assert_eq!(of("10.0.0.2:1, 10.9.9.9"), "10.0.0.2:8000");
    assert_eq!(of("10.9.9.9:8000"), "the pool has no endpoints");
}

/// Sends a request, has it answered, and returns where it went and what others hear.
fn serve(
    scheduler: &mut Scheduler,
    ms: u64,
    answer: ResponseClass,
) -> (SocketAddr, Vec<PlacementEvent>) {
    let request = RequestId(7);
    let decision = scheduler.decide(at(ms), &ask(1), &Ledger::default()).unwrap();
    let endpoint = decision.ranked[0];
    let _ = scheduler.handle(Event::Sent { request, at: at(ms), ask: ask(1), decision });
    let event = Event::Answered { request, at: at(ms), served_by: None, answer };
    assert!(may_publish(scheduler, &event) || answer == ResponseClass::Taken);
    let notes = scheduler.handle(event);
    assert!(scheduler.handle(Event::Ended { request, at: at(ms), end: End::Whole }).is_empty());
    (endpoint, notes)
}

#[test]
fn an_endpoint_that_fails_is_avoided_and_probed() {
    let endpoints = vec![endpoint(1, "decode", 0), endpoint(2, "decode", 5)];
    let mut scheduler = scheduler(profile("default", Vec::new()).into(), endpoints.clone());
    for ms in [1, 2, 3] {
        assert_eq!(serve(&mut scheduler, ms, ResponseClass::Failed(Fault::Endpoint)).0, address(1));
    }
    assert_eq!(
        serve(&mut scheduler, 4, ResponseClass::Taken).0,
        address(2),
        "longer queue, but it serves"
    );
    renew(&mut scheduler, 2_000, endpoints);
    let (endpoint, notes) = serve(&mut scheduler, 2_003, ResponseClass::Taken);
    assert_eq!(endpoint, address(1), "the probe");
    let verdicts: Vec<EventKind> = notes.iter().map(|note| note.verdict).collect();
    assert_eq!(verdicts, [EventKind::Served], "the others hear that it is back");
    assert_eq!(serve(&mut scheduler, 2_004, ResponseClass::Taken), (address(1), Vec::new()));
}

#[test]
fn the_only_one_of_a_stage_is_not_avoided() {
    let pool = vec![endpoint(1, "decode", 0), endpoint(3, "prefill", 0)];
    let mut scheduler = scheduler(stages::disagg(Disagg::default()), pool);
    for ms in 1..9 {
        let (endpoint, _) = serve(&mut scheduler, ms, ResponseClass::Failed(Fault::Endpoint));
        assert_eq!(endpoint, address(1), "after {ms} failures");
    }
}

#[test]
fn what_other_workers_saw_fail_is_avoided_but_never_most_of_the_pool() {
    let endpoints = (1..=3).map(|last| endpoint(last, "decode", u32::from(last))).collect();
    let mut scheduler = scheduler(profile("default", Vec::new()).into(), endpoints);
    let fail = |scheduler: &mut Scheduler, last| {
        let verdict = EventKind::Failed(Fault::Endpoint);
        let note =
            PlacementEvent { at: at(1), endpoint: address(last), chain: Chain::default(), verdict };
        (0..3).for_each(|_| drop(scheduler.handle(Event::Noted(note.clone()))));
    };
    fail(&mut scheduler, 1);
    assert_eq!(decide(&mut scheduler, &ask(1)).unwrap().ranked, [address(2), address(3)]);
    fail(&mut scheduler, 2);
    assert_eq!(
        decide(&mut scheduler, &ask(1)).unwrap().ranked,
        [address(1), address(2), address(3)],
        "two of three are too many to be at fault"
    );
}

#[test]
fn a_retry_moves_the_prompt_and_counts_against_the_first() {
    let request = RequestId(1);
    let served_by = Some(address(3));
    let failed = |last, blocks| (address(last), EventKind::Failed(Fault::Endpoint), blocks);
    let placed = (address(3), EventKind::Placed, 4);
    let broke = (address(3), EventKind::Broke(Fault::Endpoint), 0);
    let endpoints = (1..=3).map(|last| endpoint(last, "decode", u32::from(last))).collect();
    let mut scheduler = scheduler(profile("default", Vec::new()).into(), endpoints);
    let decision = decide(&mut scheduler, &ask(4)).unwrap();
    let _ = scheduler.handle(Event::Sent { request, at: at(1), ask: ask(4), decision });
    for (event, expected) in [
        (
            Event::Answered { request, at: at(2), served_by, answer: ResponseClass::Taken },
            vec![failed(1, 4), failed(2, 0), placed],
        ),
        (Event::Ended { request, at: at(3), end: End::Broken(Fault::Endpoint) }, vec![broke]),
    ] {
        assert!(may_publish(&scheduler, &event));
        let notes = scheduler.handle(event.clone());
        let told = notes.iter().map(|it| (it.endpoint, it.verdict, it.chain.blocks));
        assert_eq!(told.collect::<Vec<_>>(), expected, "{event:?}");
    }
}

/// A cluster that knows none of the list yet goes by its own balancing, and tries none of them.
#[test]
fn an_endpoint_that_is_not_of_the_list_blames_nobody() {
    let endpoints = (1..=5).map(|last| endpoint(last, "decode", u32::from(last))).collect();
    let mut scheduler = scheduler(profile("default", Vec::new()).into(), endpoints);
    for turn in 0..9 {
        let (request, decision) = (RequestId(turn), decide(&mut scheduler, &ask(4)).unwrap());
        assert_eq!(decision.ranked, [1, 2, 3].map(address));
        let _ = scheduler.handle(Event::Sent { request, at: at(1), ask: ask(4), decision });
        let (served_by, answer) = (Some(address(5)), ResponseClass::Refused);
        let notes = scheduler.handle(Event::Answered { request, at: at(2), served_by, answer });
        let verdicts = notes.iter().map(|it| (it.endpoint, it.verdict)).collect::<Vec<_>>();
        assert_eq!(verdicts, [(address(1), EventKind::Withdrawn)]);
    }
}

/// The time includes the failure of the first endpoint, and how long that took is unknown.
#[test]
fn a_first_token_after_a_retry_says_of_nobody_how_fast_it_is() {
    for (served_by, is_learnt) in [(1, true), (2, false)] {
        let endpoints = (1..=2).map(|last| endpoint(last, "decode", u32::from(last))).collect();
        let mut scheduler = scheduler(profile("default", Vec::new()).into(), endpoints);
        let (request, decision) = (RequestId(1), decide(&mut scheduler, &ask(100)).unwrap());
        let before = scheduler.work(&ask(100), &decision).takes;
        let sent = decision.clone();
        let _ = scheduler.handle(Event::Sent { request, at: at(0), ask: ask(100), decision: sent });
        let (served_by, answer) = (Some(address(served_by)), ResponseClass::Taken);
        let _ = scheduler.handle(Event::Answered { request, at: at(60_000), served_by, answer });
        let _ = scheduler.handle(Event::FirstToken { request, at: at(60_000) });
        assert_eq!(scheduler.work(&ask(100), &decision).takes > before, is_learnt, "{served_by:?}");
    }
}

/// Envoy tries the next of the list, so a request that every endpoint fails would blame them all.
#[test]
fn a_request_that_fails_everywhere_blames_nobody() {
    let endpoints = (1..=3).map(|last| endpoint(last, "decode", u32::from(last))).collect();
    let mut scheduler = scheduler(profile("default", Vec::new()).into(), endpoints);
    for turn in 0..30 {
        let (request, decision) = (RequestId(turn), decide(&mut scheduler, &ask(4)).unwrap());
        assert_eq!(decision.ranked[0], address(1), "none of its failures counts");
        let _ = scheduler.handle(Event::Sent { request, at: at(1), ask: ask(4), decision });
        let answer = ResponseClass::Failed(Fault::Unclear(ClientId(u64::from(turn))));
        let served_by = Some(address(3));
        let notes = scheduler.handle(Event::Answered { request, at: at(2), served_by, answer });
        let verdicts: Vec<EventKind> = notes.iter().map(|note| note.verdict).collect();
        assert_eq!(
            verdicts,
            [EventKind::Withdrawn],
            "only what it would have brought is taken back"
        );
    }
}

/// Whatever one client sends and however it fails, the others are served where they were.
#[test]
fn no_client_alone_has_an_endpoint_avoided() {
    let endpoints = vec![endpoint(1, "decode", 0), endpoint(2, "decode", 5)];
    let mut scheduler = scheduler(profile("default", Vec::new()).into(), endpoints);
    let errs = |client| ResponseClass::Failed(Fault::Unclear(ClientId(client)));
    for ms in 1..50 {
        assert_eq!(serve(&mut scheduler, ms, errs(1)).0, address(1));
    }
    assert_eq!(serve(&mut scheduler, 50, errs(2)).0, address(1));
    assert_eq!(serve(&mut scheduler, 51, errs(3)).0, address(1), "it fails everybody");
    assert_eq!(serve(&mut scheduler, 52, errs(3)).0, address(2));
}

#[test]
fn an_explanation_has_every_score_of_every_endpoint() {
    let profiles = vec![profile("default", vec![Filter::Role(Role::Decode)])];
    let scheduling = Scheduling { profiles, handler: Handler::Single };
    let scheduler = scheduler(scheduling, stages());
    let explanation = scheduler.explain(at(1), &ask(1), &Ledger::default());
    assert_eq!(explanation.decision.unwrap().ranked[0], address(1));
    let told: Vec<String> = explanation.profiles[0]
        .endpoints
        .iter()
        .map(|it| {
            let scores = it.scores.iter().map(|(name, _, score)| format!("{name}={}", score.get()));
            let scores: Vec<String> = scores.collect();
            format!("{} {}{}", it.endpoint, it.dropped_by, scores.concat())
        })
        .collect();
    assert_eq!(
        told,
        [
            "10.0.0.3:8000 decode-filter",
            "10.0.0.4:8000 decode-filter",
            "10.0.0.1:8000 queue-scorer=1",
            "10.0.0.2:8000 queue-scorer=0",
        ]
    );
}

/// Each look at the clock is a millisecond later than the one before.
fn ticking() -> Instant {
    thread_local!(static LOOKS: Cell<u64> = const { Cell::new(0) });
    at(LOOKS.replace(LOOKS.get() + 1))
}

#[test]
fn every_plugin_of_a_choice_is_timed_in_its_order() {
    let epp = Profile { filters: vec![Filter::Role(Role::Decode)], ..Profile::of_the_epp() };
    let admitters = vec![Admitter::named("probabilistic-admitter").unwrap()];
    let config = Config { scheduling: epp.into(), admitters, ..Config::default() };
    let mut scheduler = Scheduler::new(config, Randomness::from_seed(1));
    renew(&mut scheduler, 0, stages());
    let (before, mut untouched) = (ask(1), scheduler.clone());
    let times = scheduler.time_plugins(at(1), &before, &Ledger::default(), ticking);
    assert!(times.iter().all(|it| it.took == Duration::from_millis(1)), "{times:?}");
    let told: Vec<String> =
        times.iter().map(|it| format!("{} {}", it.point.name(), it.plugin)).collect();
    assert_eq!(
        told,
        [
            "DataProducer approx-prefix-cache-producer",
            "Admission probabilistic-admitter",
            "Filter decode-filter",
            "Scorer queue-scorer",
            "Scorer kv-cache-utilization-scorer",
            "Scorer prefix-cache-scorer",
            "Picker max-score-picker",
        ]
    );
    for _ in 0..9 {
        let [timed, own] = [&mut scheduler, &mut untouched].map(|it| decide(it, &before).unwrap());
        assert_eq!(timed.ranked, own.ranked, "not even a die was thrown");
    }
}

/// An endpoint that computes ten times as fast as the other is found to, and then preferred.
#[test]
fn first_tokens_teach_how_fast_endpoints_are() {
    let ttft = Scorer::named("estimated-ttft-scorer").unwrap();
    let scorers = vec![WeightedScorer { scorer: ttft, weight: ScorerWeight::ONE }];
    let profile = Profile { scorers, ..profile("default", Vec::new()) };
    let endpoints = vec![endpoint(1, "decode", 0), endpoint(2, "decode", 0)];
    let mut scheduler = scheduler(profile.into(), endpoints);
    for turn in 0..60_u32 {
        let (request, prompt) = (RequestId(turn), InferenceRequest::default());
        let prompt = InferenceRequest { prompt_tokens: Some(10_000), ..prompt };
        let decision = decide(&mut scheduler, &prompt).unwrap();
        let slow = decision.ranked[0] == address(1);
        let _ = scheduler.handle(Event::Sent { request, at: at(1), ask: prompt, decision });
        let came = at(if slow { 1_001 } else { 101 });
        let _ = scheduler.handle(Event::FirstToken { request, at: came });
        let _ = scheduler.handle(Event::Ended { request, at: came, end: End::Whole });
    }
    let long = InferenceRequest { prompt_tokens: Some(10_000), ..InferenceRequest::default() };
    for _ in 0..10 {
        assert_eq!(decide(&mut scheduler, &long).unwrap().ranked[0], address(2));
    }
}

/// Health checks and lists: any pod that may answer serves them, whatever profiles say.
#[test]
fn what_computes_nothing_goes_to_any_pod_that_may_answer() {
    let none = InferenceRequest::default();
    let nowhere = profile("default", vec![Filter::Role(Role::Encode)]);
    let pool = vec![endpoint(1, "decode", 90), endpoint(2, "decode", 0), endpoint(3, "prefill", 0)];
    let mut scheduler = scheduler(nowhere.into(), pool);
    let mut firsts = [0; 4];
    for ms in 1..=200 {
        let result = scheduler.direct(at(ms), &none).unwrap();
        let first = result.ranked[0];
        firsts[(1..4).find(|last| address(*last) == first).map_or(0, usize::from)] += 1;
        assert_eq!(result.ranked.len(), 2, "the other to fall back on");
    }
    assert!(firsts[1] > 60 && firsts[2] > 60 && firsts[1] + firsts[2] == 200, "{firsts:?}");
    let subset = Some(Subset::parse("10.0.0.3"));
    let only = scheduler.direct(at(1), &InferenceRequest { subset, ..none }).unwrap();
    assert_eq!(only.ranked, [address(3)], "the gateway's word counts more");
}
