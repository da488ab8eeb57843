//! A request that takes more than one endpoint, or one behind another.

use std::{net::SocketAddr, time::Duration};

use engine::{
    Ask, Decider, Disagg, Endpoint, Engine, Event, Filter, Handler, Metrics, RequestId, Scheduling,
    StageOrder, Verdict,
    filter::Role,
    score::{SessionAffinity, SessionStrategy},
};

use crate::pods::{address, ask, at, decide, endpoint, engine, profile, renew, told};

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
    let mut engine = engine(disagg(config), stages());
    // A block is 64 tokens.
    assert_eq!(told(decide(&mut engine, &ask(7))), "10.0.0.1:8000");
    let apart = decide(&mut engine, &ask(8));
    assert_eq!(told(apart.clone()), "10.0.0.1:8000 x-prefiller-host-port=10.0.0.3:8000");
    let (request, ask_of, decision) = (RequestId(1), ask(8), apart.unwrap());
    let sent = Event::Sent { request, at: at(1), ask: ask_of, decision };
    let notes: Vec<SocketAddr> = engine.handle(sent).iter().map(|note| note.endpoint).collect();
    assert_eq!(notes, [address(1), address(3)], "both have it now");
    assert_eq!(told(decide(&mut engine, &ask(15))), "10.0.0.1:8000", "half of it is cached");
}

#[test]
fn a_prompt_that_must_be_computed_apart_is_not_computed_elsewhere() {
    let config = Disagg { prefill_decider: Some(Decider::Always), ..Disagg::default() };
    let mut engine = engine(disagg(config), vec![endpoint(1, "decode", 0)]);
    assert_eq!(told(decide(&mut engine, &ask(1))), "prefill-filter left no endpoint");
}

#[test]
fn prefill_may_be_chosen_first_and_media_apart() {
    let order = StageOrder::PrefillFirst;
    let config = Disagg { order, encodes_media: true, ..Disagg::default() };
    let mut engine = engine(disagg(config), stages());
    let media = Ask { media: 1, ..ask(1) };
    assert_eq!(
        told(decide(&mut engine, &media)),
        "10.0.0.1:8000 x-prefiller-host-port=10.0.0.3:8000 x-encoder-hosts-ports=10.0.0.4:8000"
    );
}

#[test]
fn a_rank_is_reached_through_the_main_port() {
    let handler = Handler::DataParallel { primary_port: 9000 };
    let profiles = vec![profile("default", Vec::new())];
    let mut engine = engine(Scheduling { profiles, handler }, vec![endpoint(1, "decode", 0)]);
    let decision = decide(&mut engine, &ask(1));
    assert_eq!(told(decision), "10.0.0.1:9000 x-data-parallel-host-port=10.0.0.1:8000");
}

/// Each plugin keeps its own, at the choice of the profile that it names.
#[test]
fn prefill_and_decode_are_each_kept_at_their_own() {
    let of = |profile: &str| {
        let strategy = SessionStrategy::Id {
            headers: vec!["x-session-id".to_owned()],
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
    let mut engine = engine(scheduling, stages());
    let mut turn = 0;
    let mut go = |engine: &mut Engine| {
        turn += 1;
        let headers = vec![("x-session-id".to_owned(), "mine".to_owned())];
        let ask = Ask { headers, ..ask(1) };
        let decision = decide(engine, &ask).unwrap();
        let to = [decision.ranked[0], decision.prefill.unwrap()];
        let request = RequestId(turn);
        let notes = engine.handle(Event::Sent { request, at: at(1), ask, decision });
        let bound = notes.iter().filter(|note| matches!(note.verdict, Verdict::Bound(_)));
        assert_eq!(bound.map(|note| note.endpoint).collect::<Vec<_>>(), to);
        to
    };
    let first = go(&mut engine);
    // Longer queues there do not move it.
    let busy = |it: Endpoint| {
        let waiting = if first.contains(&it.address) { 9 } else { 0 };
        Endpoint { metrics: it.metrics.map(|metrics| Metrics { waiting, ..metrics }), ..it }
    };
    renew(&mut engine, 1, stages().into_iter().map(busy).collect());
    assert_eq!(go(&mut engine), first);
}
