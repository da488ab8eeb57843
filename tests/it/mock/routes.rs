//! Routes that Envoy chooses anew by a request's model and pool, and pools that take the requests of others.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::time::Duration;

use host_mock::Stream;
use picker_core::{Model, Snapshot};
use serde_json::{Value, json};
use wire::tally::{FallbackReason, Labels, Measure};

use super::{
    push::{Pod, Push},
    tallied::Tallied,
    world::{CHAT, DESTINATION, WORKERS, Way, World},
};

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const MODEL: &str = "x-gateway-model-name";
const BASE: &str = "x-gateway-base-model-name";
const POOL: &str = "x-llm-picker-pool";

/// Ways in which headers can be written once the body is there.
const WAYS: [Way; 3] =
    [Way::STOP_ITERATION_HEADER, Way::STOP_ITERATION_PROPERTY, Way::STOP_ITERATION_FILTER_STATE];

fn world(way: Way, pools: &Value) -> World {
    World::with(way, &json!({"pools": pools, "routeHeaders": true}))
}

fn push(world: &World, pool: &str, pods: &[Pod], models: &[(&str, Option<&str>)]) {
    let model = |(name, parent): &(&str, Option<&str>)| Model {
        name: (*name).to_owned(),
        parent: parent.map(str::to_owned),
        ..Model::default()
    };
    let snapshot = Snapshot {
        pool: pool.to_owned(),
        endpoints: pods.iter().map(|pod| pod.endpoint()).collect(),
        models: models.iter().map(model).collect(),
        ..Snapshot::default()
    };
    let push = Push { body: wire::snapshot::encode(&snapshot).unwrap(), ..world.push(&[]) };
    assert_eq!(world.ingest(0, &push.headers(), &push.body).status(), Some(204));
}

fn ask(world: &World, headers: &[(&str, &str)], model: &str) -> Stream {
    let body = json!({"model": model, "messages": [{"role": "user", "content": "hi"}]});
    world.envoy.worker(1).post(CHAT, headers, body.to_string().as_bytes())
}

/// The headers that routes match on, as they went on.
fn route(stream: &Stream) -> [Option<String>; 3] {
    let sent = stream.sent().unwrap();
    assert!(stream.route_cache_clears() > 0, "Envoy was not told to choose anew");
    [MODEL, BASE, POOL].map(|name| sent.headers.text(name).map(str::to_owned))
}

fn named(values: [&str; 3]) -> [Option<String>; 3] {
    values.map(|value| (!value.is_empty()).then(|| value.to_owned()))
}

#[test]
fn a_request_goes_on_with_its_model_its_base_and_its_pool() {
    let rewrite = json!([{"name": "r", "rules": [
        {"matches": [{"model": {"value": "gpt-4"}}], "targets": [{"modelRewrite": "qwen"}]}
    ]}]);
    for way in WAYS {
        let world = world(
            way,
            &json!([
                {"name": "a", "match": {"model": ["llama", "sql"]}},
                {"name": "b", "modelRewrites": rewrite},
            ]),
        );
        push(&world, "a", &[Pod::idle(1)], &[("llama", None), ("sql", Some("llama"))]);
        push(&world, "b", &[Pod::idle(2)], &[("qwen", None)]);
        for (asked, pod, expected) in [
            ("llama", 1, ["llama", "llama", "a"]),
            ("sql", 1, ["sql", "llama", "a"]),
            ("qwen", 2, ["qwen", "qwen", "b"]),
            ("gpt-4", 2, ["qwen", "qwen", "b"]),
            ("unheard-of", 2, ["unheard-of", "", "b"]),
        ] {
            // A client's own go nowhere, whatever they say.
            let forged = [(MODEL, "secret"), (BASE, "secret"), (POOL, "secret")];
            let stream = ask(&world, &forged, asked);
            assert_eq!(route(&stream), named(expected), "{way} {asked}");
            assert_eq!(world.pod(&stream).number, pod, "{way} {asked}");
        }
        let by_path = "/openai/deployments/sql/chat/completions";
        let body = json!({"messages": [{"role": "user", "content": "hi"}]}).to_string();
        let by_path = world.envoy.worker(0).post(by_path, JSON, body.as_bytes());
        assert_eq!(route(&by_path), named(["sql", "llama", "a"]), "{way}");
        let direct = world.envoy.worker(0).get("/v1/models/sql", JSON);
        assert_eq!(route(&direct), named(["sql", "llama", "a"]), "{way}");
        let socket = [("upgrade", "websocket"), ("connection", "upgrade"), (MODEL, "llama")];
        let socket = world.envoy.worker(0).get("/v1/realtime", &socket);
        assert_eq!(route(&socket), named(["", "", "b"]), "{way}");
        world.is_well();
    }
}

/// What a client may call a model is no way to write headers, nor to choose a route that its own header would not.
#[test]
fn no_name_of_a_model_writes_another_header() {
    let world = world(Way::STOP_ITERATION_HEADER, &json!([{"name": "a"}]));
    push(&world, "a", &[Pod::idle(1)], &[]);
    let long = "x".repeat(300);
    for name in ["a\r\nx-admin: 1", "a b", " ", "\u{e9}", "a\u{0}", &long] {
        let stream = ask(&world, &[(MODEL, "forged")], name);
        assert_eq!(route(&stream), named(["", "", "a"]), "{name:?}");
        assert_eq!(stream.sent().unwrap().headers.text("x-admin"), None);
    }
    world.is_well();
}

/// Headers of these names are another filter's where this one does not write them, and looking on changes nothing.
#[test]
fn headers_stay_where_routes_are_not_chosen_anew() {
    let looking_on = json!({"mode": "observe", "routeHeaders": true});
    for keys in [json!({}), looking_on] {
        let world = World::with(Way::STOP_ITERATION_HEADER, &keys);
        world.pods(&[Pod::idle(1)]);
        let stream = ask(&world, &[(MODEL, "theirs")], "tiny");
        let sent = stream.sent().unwrap();
        assert_eq!(sent.headers.text(MODEL), Some("theirs"));
        assert_eq!(sent.headers.text(POOL), None);
    }
}

/// A full pool by its own count: one request.
fn one_at_a_time() -> Value {
    json!({
        "plugins": [{"type": "queue-scorer"},
            {"type": "concurrency-detector", "parameters": {"maxConcurrency": 1}}],
        "flowControl": {"saturationDetector": {"pluginRef": "concurrency-detector"}},
        "featureGates": ["flowControl"],
    })
}

/// A pool that is empty, failing or fuller than its requests may see it hands them on, down the line, and takes them again
/// as soon as it can.
#[test]
fn another_pool_takes_what_its_own_cannot() {
    for way in Way::ALL {
        let pools = json!([
            {"name": "a", "match": {"model": "m"}, "config": one_at_a_time(),
                "fallback": {"pool": "b", "saturation": 1}},
            {"name": "all"},
            {"name": "b", "fallback": {"pool": "c"}},
            {"name": "c"},
        ]);
        let world = World::with(way, &json!({"pools": pools}));
        push(&world, "b", &[Pod::idle(2)], &[]);
        push(&world, "c", &[Pod::idle(3)], &[]);
        push(&world, "all", &[Pod::idle(4)], &[]);
        let of = |expected: u8, why: &str| {
            let stream = ask(&world, &[], "m");
            assert_eq!(world.pod(&stream).number, expected, "{way}");
            let decision = World::decision(&stream);
            let told = decision.split(";fallback-").skip(1).collect::<Vec<_>>().join(" ");
            assert_eq!(told, why, "{way}: {decision}");
        };
        of(2, "from=a reason=empty");
        push(&world, "a", &[Pod::idle(1)], &[]);
        of(1, "");
        let first = ask(&world, &[], "m");
        assert_eq!(world.pod(&first).number, 1, "{way}");
        of(2, "from=a reason=saturated");
        first.respond(200, JSON, b"{}");
        of(1, "");
        push(&world, "a", &[Pod { up: false, ..Pod::idle(1) }], &[]);
        of(2, "from=a reason=failing");
        push(&world, "b", &[], &[]);
        of(3, "from=a reason=failing");
        assert_eq!(
            world.pod(&ask(&world, &[], "other")).number,
            4,
            "{way}: a fallback has no other requests"
        );
        // Where no pool of the line can, the first does what it always did: here the request waits.
        push(&world, "c", &[], &[]);
        push(&world, "a", &[], &[]);
        let waiting = ask(&world, &[], "m");
        assert!(waiting.sent().is_none() && waiting.status().is_none(), "{way}");
        push(&world, "a", &[Pod::idle(1)], &[]);
        world.envoy.run_for(Duration::from_millis(100));
        assert_eq!(world.pod(&waiting).number, 1, "{way}");
        world.is_well();
    }
}

#[test]
fn fallbacks_are_counted_by_reason() {
    let pools = json!([
        {"name": "default", "match": {"model": "m"}, "fallback": {"pool": "b"}}, {"name": "b"}
    ]);
    let world = World::with(Way::STOP_ITERATION_HEADER, &json!({"pools": pools}));
    push(&world, "b", &[Pod::idle(2)], &[]);
    for _ in 0..3 {
        ask(&world, &[], "m").respond(200, JSON, b"{}");
    }
    world.pods(&[Pod { up: false, ..Pod::idle(1) }]);
    ask(&world, &[], "m").respond(200, JSON, b"{}");
    let told = Tallied::of(&world, &[Pod::idle(1)]);
    let count = |reason| told.sum(&Labels::Pool, Measure::Fallbacks(reason));
    let counts = [FallbackReason::Empty, FallbackReason::Failing, FallbackReason::Saturated];
    assert_eq!(counts.map(count), [3, 1, 0]);
}

/// A pool whose endpoints fail hands on all but the request that tries whether one is back.
#[test]
fn a_failing_pool_is_tried_by_one_request_at_a_time() {
    let pools =
        json!([{"name": "a", "match": {"model": "m"}, "fallback": {"pool": "b"}}, {"name": "b"}]);
    let world = World::with(Way::STOP_ITERATION_HEADER, &json!({"pools": pools}));
    push(&world, "a", &[Pod::idle(1)], &[]);
    push(&world, "b", &[Pod::idle(2)], &[]);
    let to = |stream: &Stream| world.pod(stream).number;
    let mut failed = 0;
    while failed < 20 {
        let stream = ask(&world, &[], "m");
        if to(&stream) == 2 {
            break;
        }
        stream.upstream_resets();
        failed += 1;
    }
    assert!((1..20).contains(&failed), "{failed} failures before it was ejected");
    assert!((0..5).all(|_| to(&ask(&world, &[], "m")) == 2));
    world.envoy.run_for(Duration::from_secs(30));
    let tries: Vec<Stream> = (0..5).map(|_| ask(&world, &[], "m")).collect();
    let (to_a, to_b): (Vec<_>, Vec<_>) = tries.iter().partition(|stream| to(stream) == 1);
    assert_eq!((to_a.len(), to_b.len()), (1, 4), "one tries it");
    to_a[0].respond(200, JSON, b"{}");
    assert_eq!(to(&ask(&world, &[], "m")), 1, "it is back");
    world.is_well();
}

/// What a pod of a pool keeps is in no other: what goes on from it stays.
#[test]
fn a_follow_up_does_not_fall_back() {
    let pools = json!([
        {"name": "a", "match": {"model": "m"}, "config": one_at_a_time(),
            "fallback": {"pool": "b", "saturation": 1}},
        {"name": "b"},
    ]);
    let world = World::with(Way::STOP_ITERATION_HEADER, &json!({"pools": pools}));
    push(&world, "a", &[Pod::idle(1)], &[]);
    push(&world, "b", &[Pod::idle(2)], &[]);
    let respond = |more: Value| {
        let mut body = json!({"model": "m", "input": "hi"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        world.envoy.worker(0).post("/v1/responses", JSON, body.to_string().as_bytes())
    };
    let made = respond(json!({}));
    made.upstream_address("10.0.0.1:8000");
    made.respond(200, JSON, br#"{"id":"resp_1"}"#);
    let running = respond(json!({}));
    assert_eq!(world.pod(&running).number, 1);
    assert_eq!(world.pod(&respond(json!({}))).number, 2);
    let next = respond(json!({"previous_response_id": "resp_1"}));
    assert!(next.sent().is_none(), "it waits for its pod");
    running.respond(200, JSON, b"{}");
    world.envoy.pump();
    assert_eq!(world.pod(&next).number, 1);
    world.is_well();
}

/// A provider's cluster: the request goes there by its route, under the provider's name of the model, and comes back
/// under the client's.
#[test]
fn a_pool_may_be_a_providers_cluster() {
    let rewrites =
        json!([{"name": "r", "rules": [{"targets": [{"modelRewrite": "provider/m-large"}]}]}]);
    for way in WAYS {
        let world = world(
            way,
            &json!([
                {"name": "a", "match": {"model": "m"}, "fallback": {"pool": "provider"}},
                {"name": "provider", "unpicked": true, "modelRewrites": rewrites},
            ]),
        );
        for worker in 0..WORKERS {
            let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
            let body = body.to_string();
            let stream = world.envoy.worker(worker).post(CHAT, JSON, body.as_bytes());
            assert_eq!(route(&stream), named(["provider/m-large", "", "provider"]), "{way}");
            assert_eq!(world.destinations(&stream), None, "{way}");
            let sent = stream.sent().unwrap();
            assert_eq!(sent.headers.text(DESTINATION), None);
            let sent: Value = serde_json::from_slice(&sent.body).unwrap();
            assert_eq!(sent["model"], "provider/m-large", "{way}");
            stream.respond(200, JSON, br#"{"model":"provider/m-large","choices":[]}"#);
            let told = stream.response().unwrap().text();
            assert_eq!(told, r#"{"model":"m","choices":[]}"#, "{way}");
        }
        let direct = world.envoy.worker(0).get("/v1/models/m", JSON);
        assert_eq!(route(&direct), named(["provider/m-large", "", "provider"]), "{way}");
        world.is_well();
    }
}
