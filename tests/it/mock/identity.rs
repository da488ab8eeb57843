//! Who asks, as the decision header says it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use serde_json::json;

use super::{
    push::Pod,
    world::{WORKERS, Way, World, about},
};

const OBJECTIVE: &str = "x-llm-d-inference-objective";
const OLD_OBJECTIVE: &str = "x-gateway-inference-objective";
const FAIRNESS: &str = "x-llm-d-inference-fairness-id";
const OLD_FAIRNESS: &str = "x-gateway-inference-fairness-id";
const OLDEST_FAIRNESS: &str = "x-gateway-fairness-id";

type Headers<'a> = &'a [(&'a str, &'a [u8])];

fn world() -> World {
    let objectives = json!([{"name": "paid", "priority": 10.0}, {"name": "batch", "priority": -5}]);
    let world = World::with(Way::STOP_ITERATION_HEADER, &json!({"objectives": objectives}));
    world.pods(&[Pod::idle(1)]);
    world
}

/// What follows the snapshot's age in the decision header.
fn who(world: &World, headers: Headers<'_>) -> String {
    let decision = World::decision(&world.chat_with(0, headers, "hello"));
    decision.split_once("snapshot-age-ms=0;").unwrap().1.to_owned()
}

#[test]
fn the_decision_header_says_who_where_and_why() {
    let world = world();
    let headers = &[(OBJECTIVE, "paid"), (FAIRNESS, "tenant-7")];
    world.pods(&[Pod { kv_usage: Some(0.25), ..Pod::idle(1) }, Pod { waiting: 3, ..Pod::idle(2) }]);
    let ask = |worker| World::decision(&world.chat_with(worker, headers, &about("rivers")));
    insta::assert_snapshot!(ask(0), @"endpoint=10.0.0.1:8000;ttft=1.00;score=1.00;prefix-hit=0.00;prompt-tokens=1408;hit-tokens=0;backlog-ms=0;expected-ttft-ms=88;runner-up=10.0.0.2:8000;runner-up-ttft-ms=88;candidates=2;snapshot-age-ms=0;priority=10;fairness-id=tenant-7");
    world.envoy.run_for(Duration::from_millis(42));
    insta::assert_snapshot!(ask(3), @"endpoint=10.0.0.1:8000;ttft=1.00;score=1.00;prefix-hit=1.00;prompt-tokens=1408;hit-tokens=1408;backlog-ms=0;expected-ttft-ms=0;runner-up=10.0.0.2:8000;runner-up-ttft-ms=88;candidates=2;snapshot-age-ms=42;priority=10;fairness-id=tenant-7");
}

#[test]
fn the_last_of_repeated_headers_counts_and_the_newest_name_first() {
    let world = world();
    let cases: [(Headers<'_>, &str); 9] = [
        (&[], "priority=0"),
        (&[(OBJECTIVE, b"batch"), (OBJECTIVE, b"paid")], "priority=10"),
        (&[("X-LLM-D-Inference-Objective", b"paid"), (OBJECTIVE, b"batch")], "priority=-5"),
        (&[(OBJECTIVE, b"batch"), (OLD_OBJECTIVE, b"paid")], "priority=-5"),
        (&[(OLD_OBJECTIVE, b"paid")], "priority=10"),
        (&[(OBJECTIVE, b"no such objective")], "priority=0"),
        (&[(OLDEST_FAIRNESS, b"c")], "priority=0;fairness-id=c"),
        (&[(OLDEST_FAIRNESS, b"c"), (OLD_FAIRNESS, b"b")], "priority=0;fairness-id=b"),
        (
            &[(FAIRNESS, b"a"), (OLDEST_FAIRNESS, b"c"), (FAIRNESS, b"z"), (OLD_FAIRNESS, b"b")],
            "priority=0;fairness-id=z",
        ),
    ];
    for (headers, expected) in cases {
        assert_eq!(who(&world, headers), expected, "{headers:?}");
    }
    world.is_well();
}

/// The id comes back in a header that programs parse: it must not be able to say other fields.
#[test]
fn what_a_client_sent_is_escaped_and_cut() {
    let world = world();
    let id = |value: &[u8]| who(&world, &[(FAIRNESS, value)]);
    insta::assert_snapshot!(id(b"a;priority=99"), @"priority=0;fairness-id=a%3Bpriority%3D99");
    insta::assert_snapshot!(id("münchen 1".as_bytes()), @"priority=0;fairness-id=m%C3%BCnchen%201");
    insta::assert_snapshot!(id(b"caf\xe9"), @"priority=0;fairness-id=caf%EF%BF%BD");
    insta::assert_snapshot!(id(b"a\tb%2F\x7f"), @"priority=0;fairness-id=a%09b%252F%7F");
    insta::assert_snapshot!(id(b""), @"priority=0;fairness-id=");
    // Envoy and most clients take some 60 KB of headers; an echo of it three times as long would
    // turn a good answer into an error.
    let long = id(&[b';'; 60_000]);
    assert!(long.len() < 1000, "{} bytes", long.len());
    world.is_well();
}

/// The payload of a verified token, as Istio's `outputPayloadToHeader` writes it.
fn payload(sub: &str) -> String {
    let json = json!({"sub": sub, "org": {"id": 7}}).to_string();
    base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, json)
}

#[test]
fn a_verified_token_says_who_asks() {
    let objectives = json!([
        {"name": "team-a", "priority": 3}, {"name": "authenticated", "priority": 2},
        {"name": "unauthenticated", "priority": -1}, {"name": "paid", "priority": 10},
    ]);
    let jwt = json!({"payloadHeader": "x-jwt-payload"});
    let identity = json!({"jwt": jwt, "fairnessKey": "jwtClaim"});
    let world = World::with(
        Way::STOP_ITERATION_HEADER,
        &json!({"identity": identity, "objectives": objectives}),
    );
    world.pods(&[Pod::idle(1)]);
    let robot = payload("system:serviceaccount:team-a:robot");
    let alice = payload("alice");
    let who = |headers: &[(&str, &str)]| {
        let stream = world.chat_with(0, headers, "hello");
        let sent = stream.sent().unwrap().headers;
        assert_eq!(sent.text(FAIRNESS), None, "what is not gone by is taken out");
        let decision = World::decision(&stream);
        decision.split_once("snapshot-age-ms=0;").unwrap().1.to_owned()
    };
    fn token(payload: &str) -> (&str, &str) {
        ("x-jwt-payload", payload)
    }
    insta::assert_snapshot!([
        who(&[token(&robot), (FAIRNESS, "forged")]), who(&[token(&alice)]), who(&[]),
        who(&[token("no payload")]), who(&[token(&alice), (OBJECTIVE, "paid")]),
    ].join("\n"), @"
    priority=3;fairness-id=system:serviceaccount:team-a:robot
    priority=2;fairness-id=alice
    priority=-1
    priority=2
    priority=10;fairness-id=alice
    ");
    world.is_well();
}

#[test]
fn a_tenant_may_be_an_address_or_a_deeper_claim() {
    let world = World::with(
        Way::STOP_ITERATION_HEADER,
        &json!({"identity": {"fairnessKey": "clientAddress"}}),
    );
    world.pods(&[Pod::idle(1)]);
    assert_eq!(who(&world, &[(FAIRNESS, b"forged")]), "priority=0;fairness-id=192.0.2.7");

    let jwt = json!({"payloadHeader": "x-jwt-payload", "claim": "org.id"});
    let identity = json!({"jwt": jwt, "fairnessKey": "jwtClaim"});
    let world = World::with(Way::STOP_ITERATION_HEADER, &json!({"identity": identity}));
    world.pods(&[Pod::idle(1)]);
    assert_eq!(
        who(&world, &[("x-jwt-payload", payload("a").as_bytes())]),
        "priority=0;fairness-id=7"
    );
}

#[test]
fn header_names_are_configurable_and_nothing_is_said_unless_asked_for() {
    let names = json!({"objectiveHeaders": ["X-Plan"], "fairnessHeaders": ["X-Team", "X-User"]});
    let objectives = json!([{"name": "paid", "priority": 10}]);
    let keys = json!({"identity": names, "objectives": objectives});
    let world = World::with(Way::STOP_ITERATION_HEADER, &keys);
    world.pods(&[Pod::idle(1)]);
    let headers: &[(&str, &[u8])] =
        &[("x-plan", b"paid"), ("x-user", b"u"), (OBJECTIVE, b"batch"), (FAIRNESS, b"t")];
    assert_eq!(who(&world, headers), "priority=10;fairness-id=u");

    let world = World::with(Way::STOP_ITERATION_HEADER, &json!({"decisionHeader": false}));
    world.pods(&[Pod::idle(1)]);
    let stream = world.chat(0, "hello");
    stream.respond(200, &[("x-pod", "1")], b"{}");
    let names: Vec<_> =
        stream.response().unwrap().headers.iter().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(names, [":status", "x-pod", "content-length"]);
}

/// One tenant has asked with a secret; another tries what it may be, and reads the share that was
/// cached.
#[test]
fn salted_tenants_do_not_find_out_what_others_asked() {
    let found = |salted: bool| -> Vec<u32> {
        let keys = json!({"identity": {"saltByTenant": salted}});
        let world = World::with(Way::STOP_ITERATION_HEADER, &keys);
        world.pods(&Pod::idles(3));
        let is_cached = |tenant: &str, guess: u32| {
            let prompt = format!("My card's PIN is {guess}, please remember it.");
            let worker = usize::try_from(guess).unwrap() % WORKERS;
            let stream = world.chat_with(worker, &[(FAIRNESS, tenant)], &prompt);
            World::decision(&stream).contains(";prefix-hit=1.00;")
        };
        assert!(!is_cached("a", 1137) && is_cached("a", 1137), "a tenant shares with itself");
        let found = (1100..1200).filter(|guess| is_cached("b", *guess)).collect();
        assert!(is_cached("a", 1137) && is_cached("b", 1150), "nothing was lost by that");
        world.is_well();
        found
    };
    assert_eq!(found(false), [1137]);
    assert_eq!(found(true), [0_u32; 0]);
}
