//! An operator asks for reasons: by a signed header, for one request, while clients are told none.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use host_mock::{Level, Stream};
use serde_json::json;
use wire::{
    debug::{DebugKey, DebugWish, HEADER, LIFETIME_MAX_SECONDS, MEDIA_TYPE},
    explained::ToldExplanation,
    push::Secret,
};

use super::{
    push::{Pod, SECRET},
    world::{CHAT, Way, World, about, chat_body},
};

const DECISION: &str = "x-llm-picker-decision";

fn world(way: Way, keys: &serde_json::Value) -> World {
    let mut quiet = json!({"decisionHeader": false});
    quiet.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    let world = World::with(way, &quiet);
    world.pods(&Pod::idles(2));
    world
}

/// A header that is signed with this secret, and expires so many seconds from now.
fn header(world: &World, secret: &str, wish: DebugWish, seconds: u64) -> String {
    let key = DebugKey::from_secret(&Secret::new(secret.as_bytes()).unwrap()).unwrap();
    key.sign(wish, world.envoy.now().as_secs() + seconds)
}

fn ask(world: &World, header: &str) -> Stream {
    world.chat_with(0, &[(HEADER, header)], &about("rivers"))
}

/// The decision that the answer tells, if it does.
fn told(stream: &Stream) -> Option<String> {
    stream.respond(200, &[("content-type", "application/json")], b"{}");
    stream.response().unwrap().headers.text(DECISION).map(str::to_owned)
}

fn explained(stream: &Stream) -> ToldExplanation {
    let response = stream.response().unwrap();
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.headers.text("content-type"), Some(MEDIA_TYPE));
    assert!(stream.sent().is_none(), "it is sent nowhere");
    ToldExplanation::decode(&response.body).unwrap()
}

#[test]
fn a_signed_header_tells_the_decision_on_one_request_and_reaches_no_pod() {
    for way in Way::ALL {
        for mode in ["steer", "observe"] {
            let world = world(way, &json!({"mode": mode}));
            let signed = header(&world, SECRET, DebugWish::Decision, 60);
            let stream = ask(&world, &signed);
            assert_eq!(stream.sent().unwrap().headers.text(HEADER), None, "{way}, {mode}");
            let decision = told(&stream).unwrap();
            assert!(decision.starts_with("endpoint=10.0.0."), "{decision}");
            assert_eq!(told(&world.chat(0, &about("rivers"))), None, "{way}, {mode}: the next one");
            world.is_well();
        }
    }
}

#[test]
fn what_is_forged_or_expired_changes_nothing_and_reaches_no_pod() {
    let world = world(Way::STOP_ITERATION_HEADER, &json!({}));
    let sign = |secret, seconds| header(&world, secret, DebugWish::Decision, seconds);
    let good = sign(SECRET, 60);
    let explains = good.replace("decision", "explain");
    let longer = good.replace(";mac", "0;mac");
    let forged = [
        String::new(),
        "decision".to_owned(),
        sign("another secret of 16 bytes", 60),
        sign(SECRET, LIFETIME_MAX_SECONDS + 1),
        sign(SECRET, 0),
        explains,
        longer,
        format!("{good}0"),
    ];
    for header in &forged {
        let stream = ask(&world, header);
        assert_eq!(stream.sent().unwrap().headers.text(HEADER), None, "{header}");
        assert_eq!(told(&stream), None, "{header}");
    }
    assert!(told(&ask(&world, &good)).is_some());
    assert!(told(&ask(&world, &good)).is_some(), "it holds until it expires");
    world.envoy.run_for(Duration::from_secs(61));
    world.pods(&Pod::idles(2));
    assert_eq!(told(&ask(&world, &good)), None, "replayed when it has expired");
    world.is_well();
}

/// Without a scraper there is no secret, and so nothing to sign with.
#[test]
fn without_a_secret_no_header_holds() {
    let world = World::new();
    let key = DebugKey::new(&[0; 32]).unwrap();
    let signed = key.sign(DebugWish::Explanation, world.envoy.now().as_secs() + 60);
    let stream = ask(&world, &signed);
    assert_eq!(stream.status(), Some(503), "no snapshot: as without the header");
}

#[test]
fn a_gateway_explains_by_what_only_it_knows_and_changes_nothing() {
    for way in Way::ALL {
        let world = world(way, &json!({}));
        let busy = world.chat(1, &about("rivers"));
        let pod = format!("10.0.0.{}:8000", world.pod(&busy).number);
        let signed = header(&world, SECRET, DebugWish::Explanation, 60);
        for again in 0..2 {
            let told = explained(&ask(&world, &signed));
            let gateway = told.gateway.unwrap();
            assert_eq!((gateway.in_flight, gateway.waiting), (1, 0), "{way}: {again}");
            assert_eq!((told.model.as_str(), told.pool.as_str()), ("tiny", "default"));
            let endpoints = &told.profiles[0].endpoints;
            let [has, other] = [true, false].map(|is_it| {
                endpoints.iter().find(|it| (it.endpoint.to_string() == pod) == is_it).unwrap()
            });
            assert!(has.cached_tokens > 0 && has.in_flight == 1, "{way}: {has:?}");
            assert!(other.cached_tokens == 0 && other.in_flight == 0, "{way}: {other:?}");
            assert_eq!(told.ranked.len(), 2, "{told:?}");
        }
        assert_eq!(world.counter("llm_picker_envoy_picked_total"), 0, "{way}: not counted yet");
        world.envoy.run_for(Duration::from_millis(1_100));
        assert_eq!(world.counter("llm_picker_envoy_picked_total"), 1, "{way}: the busy one alone");
        world.is_well();
    }
}

/// Sent on, such a request would be done: a cancellation, or one of a route that is not the picker's.
#[test]
fn what_has_no_choice_to_explain_is_sent_nowhere_either() {
    let world =
        world(Way::STOP_ITERATION_HEADER, &json!({"pools": [{"match": {"pathPrefix": "/v1"}}]}));
    let signed = header(&world, SECRET, DebugWish::Explanation, 60);
    let worker = world.envoy.worker(0);
    for path in ["/elsewhere", "/v1/responses/resp_1/cancel"] {
        let stream = worker.post(path, &[(HEADER, &*signed)], b"{}");
        assert_eq!(stream.status(), Some(400), "{path}");
        assert!(stream.sent().is_none(), "{path}");
    }
    let stream = worker.post(CHAT, &[(HEADER, &*signed)], &chat_body(&about("rivers")));
    assert_eq!(explained(&stream).ranked.len(), 2);
    world.is_well();
}

#[test]
fn each_decision_is_logged_once_the_operator_asks_for_it() {
    let world = world(Way::STOP_ITERATION_HEADER, &json!({}));
    let lines = || world.envoy.logs().into_iter().filter(|it| it.message.starts_with("request "));
    let serve = || {
        let id = [("x-request-id", "id-7")];
        let stream = world.chat_with(0, &id, &about("rivers"));
        stream.respond(200, &[("content-type", "application/json")], b"{}");
        drop(world.envoy.worker(0).post(CHAT, &id, b"not JSON"));
    };
    serve();
    assert_eq!(lines().count(), 0);
    world.envoy.set_log_level(Level::Debug);
    world.envoy.run_for(Duration::from_millis(1_100));
    serve();
    let logged: Vec<String> = lines().map(|it| it.message).collect();
    assert_eq!(logged.len(), 2, "{logged:?}");
    assert!(logged[0].starts_with("request id-7: endpoint=10.0.0."), "{logged:?}");
    assert!(logged[0].contains(";model=tiny;") && logged[0].contains(";status=200"), "{logged:?}");
    assert_eq!(logged[1], "request id-7: answered 400 (no-json)");
    world.envoy.set_log_level(Level::Warn);
    world.envoy.run_for(Duration::from_millis(1_100));
    serve();
    assert_eq!(lines().count(), 2);
}

#[test]
fn an_envoy_says_once_what_it_is_configured_for() {
    let world = world(Way::STOP_ITERATION_HEADER, &json!({"mode": "observe"}));
    let logs = world.envoy.logs();
    let said: Vec<&str> = logs
        .iter()
        .filter(|it| it.message.starts_with("llm-picker "))
        .map(|it| it.message.as_str())
        .collect();
    let version = env!("CARGO_PKG_VERSION");
    let [picker, ingest] = said[..] else { panic!("{said:?}") };
    assert!(picker.starts_with(&format!("llm-picker {version}, plugin ")), "{picker}");
    assert!(
        picker.ends_with(": looks on; hold stopIteration, destination header; pools: default"),
        "{picker}"
    );
    assert!(ingest.ends_with(": takes pushed snapshots"), "{ingest}");
}
