//! The picker looks on: it chooses and counts, and requests and answers pass as they are.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use host_mock::Stream;
use serde_json::{Value, json};
use wire::tally::{Agreement, Measure};

use super::{
    push::Pod,
    tallied::Tallied,
    world::{CHAT, Way, World, about, chat_body},
};

/// Headers that a steering picker would take away, and one that another picker has written.
const HEADERS: [(&str, &str); 5] = [
    ("x-gateway-destination-endpoint", "10.0.0.9:8000"),
    ("x-llm-d-model-name-rewrite", "other"),
    ("x-session-token", "forged"),
    ("accept-encoding", "gzip"),
    ("content-type", "application/json"),
];

/// All that makes a steering picker hold, refuse or change a request.
fn config() -> Value {
    let detector = "concurrency-detector";
    json!({
        "mode": "observe",
        "decisionHeader": false,
        "featureGates": ["flowControl"],
        "plugins": [
            {"type": "queue-scorer"}, {"type": "max-score-picker"}, {"type": "single-profile-handler"},
            {"type": "session-affinity-scorer"},
            {"type": "token-fair-fairness-policy"},
            {"type": detector, "parameters": {"maxConcurrency": 1}},
        ],
        "schedulingProfiles": [{"name": "default", "plugins": [
            {"pluginRef": "queue-scorer"}, {"pluginRef": "session-affinity-scorer"},
        ]}],
        "flowControl": {
            "saturationDetector": {"pluginRef": detector},
            "defaultPriorityBand": {"fairnessPolicyRef": "token-fair-fairness-policy", "maxRequests": 1},
        },
        "modelRewrites": [{"name": "alias", "rules": [
            {"matches": [{"model": {"value": "tiny"}}], "targets": [{"modelRewrite": "large"}]}
        ]}],
    })
}

fn observing(way: Way) -> World {
    World::with(way, &config())
}

fn ask(world: &World, worker: usize) -> Stream {
    world.envoy.worker(worker).post(CHAT, &HEADERS, &chat_body(&about("rivers")))
}

/// Answers as a pod that says of its load what only its gateway should hear.
fn answer(stream: &Stream, from: u8) {
    stream.upstream_address(&format!("10.0.0.{from}:8000"));
    let headers = [("content-type", "application/json"), ("endpoint-load-metrics", "TEXT x=1")];
    stream.respond(200, &headers, br#"{"model":"tiny","choices":[{"message":{"content":"hi"}}]}"#);
}

#[test]
fn requests_and_answers_pass_as_they_are_in_every_way() {
    for way in Way::ALL {
        let world = observing(way);
        world.pods(&[Pod::idle(1), Pod::idle(2)]);
        // The third would be held, and the fourth turned away.
        let streams: Vec<Stream> = (0..4).map(|worker| ask(&world, worker)).collect();
        for stream in &streams {
            let sent = stream.sent().unwrap();
            for (name, value) in HEADERS {
                assert_eq!(sent.headers.text(name), Some(value), "{way}: {name}");
            }
            assert!(sent.properties.is_empty() && sent.filter_state.is_empty(), "{way}");
            assert_eq!(sent.body, chat_body(&about("rivers")), "{way}");
            answer(stream, 1);
            let response = stream.response().unwrap();
            assert_eq!(response.headers.text("endpoint-load-metrics"), Some("TEXT x=1"), "{way}");
            assert_eq!(response.headers.text("x-llm-d-flow-queue-duration-ms"), None, "{way}");
            assert_eq!(response.headers.text("x-session-token"), None, "{way}");
            assert!(String::from_utf8_lossy(&response.body).contains(r#""model":"tiny""#), "{way}");
        }
        world.is_well();
    }
}

#[test]
fn what_it_would_have_done_is_counted() {
    let world = observing(Way::STOP_ITERATION_HEADER);
    let pods = [Pod::idle(1), Pod { waiting: 9, ..Pod::idle(2) }];
    world.pods(&pods);
    let streams: Vec<Stream> = (0..4).map(|worker| ask(&world, worker)).collect();
    // The first is idle, and a pod takes one: the first request would go there, the second to the other.
    for (stream, from) in streams.iter().zip([1, 2, 2, 1]) {
        answer(stream, from);
    }
    let silent = ask(&world, 0);
    silent.respond(200, &[] as &[(&str, &str)], b"{}");
    let counts = Tallied::of(&world, &pods);
    let of = |measure| counts.total(measure);
    let agreed = of(Measure::Observed(Agreement::Same));
    let others = of(Measure::Observed(Agreement::Other));
    assert_eq!(agreed + others, 4);
    assert!(agreed > 0 && others > 0, "{agreed} and {others}");
    assert_eq!(of(Measure::Observed(Agreement::Unknown)), 1);
    assert_eq!(of(Measure::Overruled), 2, "beyond the two places");
    assert_eq!(of(Measure::Requests), 5);
    world.is_well();
}

#[test]
fn nothing_is_answered_in_the_place_of_a_pod() {
    let world = observing(Way::STOP_ITERATION_HEADER);
    // No pod is known, and then an empty pool is.
    for _ in 0..2 {
        for (path, body) in [
            (CHAT, &b"no JSON"[..]),
            (CHAT, br#"{"model":"tiny","messages":[]}"#),
            ("/v1/load_lora_adapter", br#"{"lora_name":"a"}"#),
        ] {
            let stream = world.envoy.worker(1).post(path, &[] as &[(&str, &str)], body);
            assert_eq!(stream.sent().unwrap().body, body, "{path}");
            answer(&stream, 1);
            assert_eq!(stream.status(), Some(200));
        }
        let list = world.envoy.worker(0).get("/v1/models", &[] as &[(&str, &str)]);
        assert!(list.sent().is_some());
        world.pods(&[]);
    }
    world.is_well();
}

#[test]
fn an_upload_that_stood_still_reaches_the_pod_once_and_whole() {
    for way in Way::ALL {
        let world = observing(way);
        world.pods(&[Pod::idle(1)]);
        let body = chat_body(&about("rivers"));
        let (first, rest) = body.split_at(100);
        let length = [("content-length", body.len().to_string())];
        let stream = world.envoy.worker(0).post_headers(CHAT, &length);
        stream.chunk(first);
        world.envoy.run_for(Duration::from_secs(15));
        assert_eq!(stream.status(), None, "{way}: nothing is answered in the pod's place");
        stream.last_chunk(rest);
        assert_eq!(stream.sent().unwrap().body, body, "{way}");
        world.is_well();
    }
}
