//! One pod computes the prompt, another answers: what the filter tells them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use host_mock::Plugin;
use serde_json::{Value, json};

use super::{
    push::Pod,
    world::{WORKERS, Way, World, about, builder},
};

const PREFILLER: &str = "x-prefiller-host-port";

/// Every header that a decision may set.
const FORGED: [(&str, &str); 3] = [
    (PREFILLER, "192.0.2.66:22"),
    ("x-encoder-hosts-ports", "192.0.2.66:22"),
    ("x-data-parallel-host-port", "192.0.2.66:22"),
];

fn config(decider: &str) -> Value {
    config_with(&json!({"type": decider}))
}

fn config_with(decider: &Value) -> Value {
    let profile = |name: &str| {
        let refs = [format!("{name}-filter"), "queue-scorer".into(), "prefix-cache-scorer".into()];
        let refs = refs.map(|name| json!({"pluginRef": name}));
        json!({"name": name, "plugins": refs})
    };
    let deciders = json!({"deciders": {"prefill": decider.get("type")}});
    json!({
        "plugins": [
            decider,
            {"type": "disagg-profile-handler", "parameters": deciders},
            {"type": "decode-filter"},
            {"type": "prefill-filter"},
            {"type": "queue-scorer"},
            {"type": "prefix-cache-scorer"},
        ],
        "schedulingProfiles": [profile("decode"), profile("prefill")],
    })
}

/// Pod 1 answers, pod 2 computes prompts.
fn stages(way: Way, config: &Value) -> World {
    let world = World::with(way, config);
    let staged = |number, role| Pod { role: Some(role), ..Pod::idle(number) };
    world.pods(&[staged(1, "decode"), staged(2, "prefill")]);
    world
}

#[test]
fn the_decode_pod_is_told_who_computes_the_prompt() {
    for way in [Way::Header, Way::Property, Way::FilterState] {
        let world = stages(way, &config("always-disagg-pd-decider"));
        for worker in 0..WORKERS {
            let stream = world.chat_with(worker, &FORGED, &about("rivers"));
            assert_eq!(world.pod(&stream).number, 1, "{way:?}");
            let headers = stream.sent().unwrap().headers;
            let told = FORGED.map(|(name, _)| headers.get_all(name).collect::<Vec<_>>());
            assert_eq!(told, [vec![&b"10.0.0.2:8000"[..]], vec![], vec![]], "{way:?}");
        }
        world.is_well();
    }
}

#[test]
fn what_a_client_forges_is_taken_out_where_nothing_is_set() {
    for way in Way::ALL {
        let world = World::with(way, &json!({}));
        world.pods(&Pod::idles(1));
        let worker = world.envoy.worker(1);
        for stream in [world.chat_with(0, &FORGED, "hello"), worker.get("/v1/models", &FORGED)] {
            let headers = stream.sent().unwrap().headers;
            assert!(FORGED.iter().all(|(name, _)| headers.get(name).is_none()), "{way:?}");
        }
        world.is_well();
    }
}

/// The decode pod has the prompt after the first answer, whichever worker sent that.
#[test]
fn a_cached_prompt_is_not_computed_apart_again() {
    let parameters = json!({"nonCachedTokens": 512});
    let decider = json!({"type": "prefix-based-pd-decider", "parameters": parameters});
    let world = stages(Way::Header, &config_with(&decider));
    let prefiller = |worker| {
        let stream = world.chat(worker, &about("rivers"));
        let told = stream.sent().unwrap().headers.text(PREFILLER).map(str::to_owned);
        stream.respond(200, (), b"{}");
        told
    };
    assert_eq!(prefiller(0).as_deref(), Some("10.0.0.2:8000"));
    assert_eq!(prefiller(3), None);
    world.is_well();
}

#[test]
fn without_a_pod_for_the_prompt_the_request_is_refused() {
    let world = World::with(Way::Header, &config("always-disagg-pd-decider"));
    world.pods(&Pod::idles(2));
    let stream = world.chat(0, "hello");
    let response = stream.response().unwrap();
    assert_eq!(stream.status(), Some(429));
    assert!(response.text().contains("prefill-filter left none"), "{}", response.text());
}

#[test]
fn what_cannot_be_told_is_not_configured() {
    let mut config = config("always-disagg-pd-decider");
    let envoy = json!({"hold": "bufferFilter", "destination": "property"});
    config.as_object_mut().unwrap().insert("envoy".to_owned(), envoy);
    let started = builder().plugin(Plugin::new("picker", config.to_string())).start();
    let error = started.map(drop).unwrap_err().to_string();
    let told = "found a profile handler that sets headers with envoy.hold bufferFilter";
    assert!(error.contains(told), "{error}");
}
