//! A request that takes more than one endpoint, or one behind another.

use std::{net::SocketAddr, time::Duration};

use picker_core::{
    Chain, Config, Decider, Disagg, End, Endpoint, Event, EventKind, Fault, Filter, Handler,
    Health, InferenceRequest, Metrics, PlacementEvent, Profile, Randomness, RequestId,
    ResponseClass, Scheduler, Scheduling, SchedulingResult, Scorer, ScorerWeight, StageOrder,
    WeightedScorer,
    filter::Role,
    ledger::{Account, Ledger},
    saturation::{Capacity, Concurrency, Detector},
    score::{SessionAffinity, SessionStrategy},
};

use crate::pods::{
    address, ask, at, decide, endpoint, may_publish, profile, renew, scheduler, told,
};

pub(crate) fn disagg(disagg: Disagg) -> Scheduling {
    let role = |name: &str, role| profile(name, vec![Filter::Role(role)]);
    Scheduling {
        profiles: vec![
            role("decode", Role::Decode),
            role("prefill", Role::Prefill),
            role("encode", Role::Encode),
        ],
        handler: Handler::Disagg(disagg),
    }
}

pub(crate) fn stages() -> Vec<Endpoint> {
    vec![
        endpoint(1, "decode", 0),
        endpoint(2, "decode", 9),
        endpoint(3, "prefill", 0),
        endpoint(4, "encode", 0),
    ]
}

#[test]
fn prompts_are_computed_apart_where_much_is_uncached() {
    let decider = Decider::PrefixBased { uncached: 512, prompt: 0 };
    let config = Disagg { prefill_decider: Some(decider), ..Disagg::default() };
    let mut scheduler = scheduler(disagg(config), stages());
    // A block is 64 tokens.
    assert_eq!(told(decide(&mut scheduler, &ask(7))), "10.0.0.1:8000");
    let apart = decide(&mut scheduler, &ask(8));
    assert_eq!(told(apart.clone()), "10.0.0.1:8000 x-prefiller-host-port=10.0.0.3:8000");
    let (request, ask_of, decision) = (RequestId(1), ask(8), apart.unwrap());
    let sent = Event::Sent { request, at: at(1), ask: ask_of, decision };
    let notes: Vec<SocketAddr> = scheduler.handle(sent).iter().map(|note| note.endpoint).collect();
    assert_eq!(notes, [address(1), address(3)], "both have it now");
    assert_eq!(told(decide(&mut scheduler, &ask(15))), "10.0.0.1:8000", "half of it is cached");
}

/// Sends a request of which another endpoint computes the prompt; returns where, and what others
/// hear of its end.
fn compute_apart(
    scheduler: &mut Scheduler,
    end: Option<ResponseClass>,
) -> Vec<(SocketAddr, EventKind)> {
    let (request, decision) = (RequestId(1), decide(scheduler, &ask(4)).unwrap());
    assert_eq!(decision.computed_apart().map(|it| it.endpoint), Some(address(3)));
    let _ = scheduler.handle(Event::Sent { request, at: at(1), ask: ask(4), decision });
    let event = match end {
        Some(answer) => Event::Answered { request, at: at(2), served_by: None, answer },
        None => Event::Ended { request, at: at(2), end: End::Gone },
    };
    assert!(may_publish(scheduler, &event) || end == Some(ResponseClass::Taken));
    let notes = scheduler.handle(event);
    notes.iter().map(|note| (note.endpoint, note.verdict)).collect()
}

/// It is unknown if the endpoint that computes was asked: nothing is believed of it, and nothing
/// blamed on it.
#[test]
fn what_came_to_nothing_is_taken_back_where_it_was_computed_too() {
    let config = Disagg { prefill_decider: Some(Decider::Always), ..Disagg::default() };
    let of = |end| compute_apart(&mut scheduler(disagg(config.clone()), stages()), end);
    let (withdrawn, failed) = (EventKind::Withdrawn, EventKind::Failed(Fault::Endpoint));
    assert_eq!(of(Some(ResponseClass::Taken)), []);
    assert_eq!(
        of(Some(ResponseClass::Refused)),
        [(address(3), withdrawn), (address(1), withdrawn)]
    );
    let failure = Some(ResponseClass::Failed(Fault::Endpoint));
    assert_eq!(of(failure), [(address(3), withdrawn), (address(1), failed)]);
    assert_eq!(of(None), [(address(1), withdrawn), (address(3), withdrawn)]);
}

/// The first token is late because of the endpoint that computes: that one is slow, and not the one
/// that answers.
#[test]
fn first_tokens_speak_of_who_computes_the_prompt() {
    let ttft = Scorer::named("estimated-ttft-scorer").unwrap();
    let by_ttft = |name: &str, role| Profile {
        scorers: vec![WeightedScorer { scorer: ttft.clone(), weight: ScorerWeight::ONE }],
        ..profile(name, vec![Filter::Role(role)])
    };
    let profiles = vec![by_ttft("decode", Role::Decode), by_ttft("prefill", Role::Prefill)];
    let config = Disagg { prefill_decider: Some(Decider::Always), ..Disagg::default() };
    let scheduling = Scheduling { profiles, handler: Handler::Disagg(config) };
    let pods = [(1, "decode"), (2, "decode"), (3, "prefill"), (4, "prefill")];
    let pods = pods.into_iter().map(|(last, role)| endpoint(last, role, 0)).collect();
    let mut scheduler = scheduler(scheduling, pods);
    let long = InferenceRequest { prompt_tokens: Some(10_000), ..InferenceRequest::default() };
    let prefiller = |decision: &SchedulingResult| decision.computed_apart().unwrap().endpoint;
    for turn in 0..60_u32 {
        let (request, ask) = (RequestId(turn), long.clone());
        let decision = decide(&mut scheduler, &ask).unwrap();
        let came = at(if prefiller(&decision) == address(3) { 1_001 } else { 101 });
        let _ = scheduler.handle(Event::Sent { request, at: at(1), ask, decision });
        let _ = scheduler.handle(Event::FirstToken { request, at: came });
        let _ = scheduler.handle(Event::Ended { request, at: came, end: End::Whole });
    }
    let decisions: Vec<SchedulingResult> =
        (0..20).map(|_| decide(&mut scheduler, &long).unwrap()).collect();
    assert!(decisions.iter().all(|decision| prefiller(decision) == address(4)));
    let answers = |last| decisions.iter().any(|decision| decision.ranked[0] == address(last));
    assert!(answers(1) && answers(2), "none of those is slow");
}

/// As many as each stage takes: idle pods of one do not hide that the other is full.
#[test]
fn saturation_is_that_of_the_fuller_stage() {
    let detector = Detector::Concurrency(Concurrency { max_requests: 4, ..Concurrency::default() });
    let config = Disagg { prefill_decider: Some(Decider::Always), ..Disagg::default() };
    let of = |scheduling, roles: &[&str]| {
        let config = Config { scheduling, detector: detector.clone(), ..Config::default() };
        let mut scheduler = Scheduler::new(config, Randomness::from_seed(1));
        let pods = (1..).zip(roles).map(|(last, role)| endpoint(last, role, 0));
        renew(&mut scheduler, 0, pods.collect());
        let accounts = [Account { endpoint: address(1).into(), requests: 3, ..Account::default() }];
        let ledger = Ledger { accounts: accounts.into_iter().collect(), ..Ledger::default() };
        let Capacity::Serving(room) = scheduler.capacity(at(1), &ledger) else {
            return String::new();
        };
        format!("{:.2}, room for {}", room.saturation(), room.places(1.0))
    };
    let apart = |roles| of(disagg(config.clone()), roles);
    let single = |roles| of(profile("default", Vec::new()).into(), roles);
    assert_eq!(apart(&["prefill", "decode", "decode"]), "0.75, room for 1");
    assert_eq!(apart(&["decode", "prefill", "encode"]), "0.75, room for 1");
    assert_eq!(apart(&["prefill-decode", "prefill"]), "0.75, room for 1");
    // One that another computes counts there as well.
    assert_eq!(apart(&["prefill-decode", "prefill-decode"]), "0.38, room for 3");
    assert_eq!(single(&["prefill-decode", "prefill-decode"]), "0.38, room for 5");
    assert_eq!(single(&["decode", ""]), "0.38, room for 5");
}

/// A limit of 4 stays 4 beside pods that are down or ejected.
#[test]
fn endpoints_that_cannot_be_chosen_add_no_room() {
    let detector = Detector::Concurrency(Concurrency { max_requests: 4, ..Concurrency::default() });
    let room = |downs: &[u8], fails: &[u8], roles: &[&str]| {
        let is_apart = roles.contains(&"prefill");
        let whole = || profile("default", Vec::new()).into();
        let scheduling = if is_apart { disagg(Disagg::default()) } else { whole() };
        let config = Config { scheduling, detector: detector.clone(), ..Config::default() };
        let mut scheduler = Scheduler::new(config, Randomness::from_seed(1));
        let pods = (1..).zip(roles).map(|(last, role)| {
            let health = if downs.contains(&last) { Health::Down } else { Health::Up };
            Endpoint { health, ..endpoint(last, role, 0) }
        });
        renew(&mut scheduler, 0, pods.collect());
        for last in fails.iter().flat_map(|last| [last; 3]) {
            let (endpoint, verdict) = (address(*last), EventKind::Failed(Fault::Endpoint));
            let event = PlacementEvent { at: at(1), endpoint, chain: Chain::default(), verdict };
            drop(scheduler.handle(Event::Noted(event)));
        }
        match scheduler.capacity(at(1), &Ledger::default()) {
            Capacity::Serving(room) => room.places(1.0),
            Capacity::Unknown | Capacity::Empty => 0,
        }
    };
    let decode = &["decode"; 4];
    assert_eq!(room(&[], &[], decode), 16);
    assert_eq!(room(&[2, 3, 4], &[], decode), 4);
    assert_eq!(room(&[], &[2, 3], decode), 8);
    assert_eq!(room(&[4], &[3], decode), 8);
    assert_eq!(room(&[], &[2, 3, 4], decode), 16, "too many to be at fault: all are chosen");
    assert_eq!(room(&[1, 2, 3, 4], &[], decode), 16, "a scraper that sees none up is cut off");
    let stages = &["decode", "decode", "prefill"];
    assert_eq!(room(&[], &[3], stages), 4, "the only one of its stage is chosen all the same");
    assert_eq!(room(&[], &[1], stages), 4);
    assert_eq!(room(&[1], &[], stages), 4);
}

/// What is in flight is all that is known of an endpoint whose page says nothing.
#[test]
fn an_unread_endpoint_is_placed_by_what_is_in_flight() {
    let unread = |last| Endpoint { metrics: None, ..endpoint(last, "decode", 0) };
    let pods = vec![endpoint(1, "decode", 2), unread(2)];
    let mut scheduler = scheduler(profile("default", Vec::new()).into(), pods);
    let mut first = |requests| {
        let account = Account { endpoint: address(2).into(), requests, ..Account::default() };
        let ledger = Ledger { accounts: [account].into_iter().collect(), ..Ledger::default() };
        scheduler.decide(at(1), &ask(1), &ledger).unwrap().ranked[0]
    };
    assert_eq!([0, 1, 3, 9].map(&mut first), [2, 2, 1, 1].map(address));
}

#[test]
fn a_prompt_that_must_be_computed_apart_is_not_computed_elsewhere() {
    let config = Disagg { prefill_decider: Some(Decider::Always), ..Disagg::default() };
    let mut scheduler = scheduler(disagg(config), vec![endpoint(1, "decode", 0)]);
    assert_eq!(told(decide(&mut scheduler, &ask(1))), "prefill-filter left no endpoint");
}

#[test]
fn prefill_may_be_chosen_first_and_media_apart() {
    let order = StageOrder::PrefillFirst;
    let config = Disagg { order, encodes_media: true, ..Disagg::default() };
    let mut scheduler = scheduler(disagg(config), stages());
    let media = InferenceRequest { media: 1, ..ask(1) };
    assert_eq!(
        told(decide(&mut scheduler, &media)),
        "10.0.0.1:8000 x-prefiller-host-port=10.0.0.3:8000 x-encoder-hosts-ports=10.0.0.4:8000"
    );
}

#[test]
fn a_rank_is_reached_through_the_main_port() {
    let handler = Handler::DataParallel { primary_port: 9000 };
    let profiles = vec![profile("default", Vec::new())];
    let rank = |last, port, waiting| Endpoint {
        address: SocketAddr::from(([10, 0, 0, last], port)),
        ..endpoint(last, "decode", waiting)
    };
    let ranks = vec![rank(1, 9000, 2), rank(1, 9001, 0), rank(2, 9000, 3), rank(2, 9001, 1)];
    let mut scheduler = scheduler(Scheduling { profiles, handler }, ranks);
    let decision = decide(&mut scheduler, &ask(1)).unwrap();
    assert_eq!(told(Ok(decision.clone())), "10.0.0.1:9000 x-data-parallel-host-port=10.0.0.1:9001");
    // The header names a rank of the first pod only: of another its main port is meant.
    let [rank, main, other] = [(1, 9001), (1, 9000), (2, 9000)]
        .map(|(last, port)| SocketAddr::from(([10, 0, 0, last], port)));
    assert_eq!(decision.ranked, [rank, other]);
    assert!(decision.destinations().eq([main, other]));
    assert_eq!([main, other].map(|it| decision.reached(it)), [rank, other]);
    let request = RequestId(1);
    let _ = scheduler.handle(Event::Sent { request, at: at(1), ask: ask(4), decision });
    let event = Event::Answered {
        request,
        at: at(2),
        served_by: Some(other),
        answer: ResponseClass::Taken,
    };
    let notes = scheduler.handle(event);
    let told: Vec<_> = notes.iter().map(|it| (it.endpoint, it.verdict)).collect();
    assert_eq!(
        told,
        [(rank, EventKind::Failed(Fault::Endpoint)), (other, EventKind::Placed)],
        "nobody else was tried"
    );
}

/// A plugin keeps its own sessions, at the choice of the profile that it names.
#[test]
fn prefill_and_decode_are_each_kept_at_their_own() {
    let of = |profile: &str| {
        let strategy = SessionStrategy::Id {
            headers: vec!["x-session-id".to_owned()],
            in_body: false,
            ttl: Duration::from_secs(60),
        };
        Filter::SessionAffinity(SessionAffinity { strategy, profile: profile.to_owned() })
    };
    let profiles = vec![
        profile("decode", vec![Filter::Role(Role::Decode), of("")]),
        profile("prefill", vec![Filter::Role(Role::Prefill), of("prefill")]),
    ];
    let disagg = Disagg { prefill_decider: Some(Decider::Always), ..Disagg::default() };
    let scheduling = Scheduling { profiles, handler: Handler::Disagg(disagg) };
    let mut scheduler = scheduler(scheduling, stages());
    let mut turn = 0;
    let mut go = |scheduler: &mut Scheduler| {
        turn += 1;
        let headers = vec![("x-session-id".to_owned(), "mine".to_owned())];
        let ask = InferenceRequest { headers, ..ask(1) };
        let decision = decide(scheduler, &ask).unwrap();
        let to = [decision.ranked[0], decision.prefiller().unwrap()];
        let request = RequestId(turn);
        let notes = scheduler.handle(Event::Sent { request, at: at(1), ask, decision });
        let bound = notes.iter().filter(|note| matches!(note.verdict, EventKind::Bound(_)));
        assert_eq!(bound.map(|note| note.endpoint).collect::<Vec<_>>(), to);
        to
    };
    let first = go(&mut scheduler);
    // Longer queues there do not move it.
    let busy = |it: Endpoint| {
        let waiting = if first.contains(&it.address) { 9 } else { 0 };
        Endpoint { metrics: it.metrics.map(|metrics| Metrics { waiting, ..metrics }), ..it }
    };
    renew(&mut scheduler, 1, stages().into_iter().map(busy).collect());
    assert_eq!(go(&mut scheduler), first);
}

#[test]
fn a_session_of_two_plugins_is_bound_once() {
    let strategy = SessionStrategy::Id {
        headers: vec!["x-session-id".to_owned()],
        in_body: false,
        ttl: Duration::from_secs(60),
    };
    let filter = || {
        Filter::SessionAffinity(SessionAffinity {
            strategy: strategy.clone(),
            profile: String::new(),
        })
    };
    let scheduling = profile("default", vec![filter(), filter()]).into();
    let mut scheduler = scheduler(scheduling, stages());
    let headers = vec![("x-session-id".to_owned(), "mine".to_owned())];
    let ask = InferenceRequest { headers, ..ask(1) };
    let decision = decide(&mut scheduler, &ask).unwrap();
    let event = Event::Sent { request: RequestId(1), at: at(1), ask, decision };
    let notes = scheduler.handle(event);
    let bound = notes.iter().filter(|note| matches!(note.verdict, EventKind::Bound(_)));
    assert_eq!(bound.count(), 1);
}
