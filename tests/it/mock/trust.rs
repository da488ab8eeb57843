//! What a client says in the gateway's words: neither obeyed nor passed on.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use host_mock::Stream;
use serde_json::json;

use super::{
    push::Pod,
    world::{CHAT, WORKERS, Way, World, about, chat_body},
};

const SUBSET: &str = "x-gateway-destination-endpoint-subset";
const SUBSET_METADATA: &str =
    "metadata.filter_metadata.envoy.lb.subset_hint.x-gateway-destination-endpoint-subset";
const REWRITE: &str = "x-llm-d-model-name-rewrite";

/// Every header that steers, with a value that would have an effect.
const STEERING: [(&str, &str); 18] = [
    ("x-gateway-destination-endpoint", "10.0.0.2:8000"),
    (SUBSET, "10.0.0.2"),
    (REWRITE, "forged"),
    ("x-gateway-model-name-rewrite", "forged"),
    ("x-prefiller-host-port", "192.0.2.66:22"),
    ("x-encoder-hosts-ports", "192.0.2.66:22"),
    ("x-kv-cache-source-host-port", "192.0.2.66:22"),
    ("x-data-parallel-host-port", "192.0.2.66:22"),
    ("x-data-parallel-rank", "3"),
    ("x-llm-d-disagg-revision", "canary"),
    ("x-vllm-priority", "-100"),
    ("x-llm-d-video-fps", "1"),
    ("x-llm-d-video-duration-seconds", "1"),
    ("x-llm-d-video-resolution", "1x1"),
    ("x-llm-d-audio-duration-seconds", "1"),
    ("x-gateway-destination-endpoint-served", "10.0.0.2:8000"),
    ("x-original-path", "/v1/chat/completions"),
    ("x-forwarded-path", "/v1/chat/completions"),
];

/// Pod 1 is idle and pod 2 is not, so that whatever goes to pod 2 was steered there.
fn world(way: Way, keys: &serde_json::Value) -> World {
    let world = World::with(way, keys);
    world.pods(&[Pod::idle(1), Pod { waiting: 50, ..Pod::idle(2) }]);
    world
}

fn seen(stream: &Stream, name: &str) -> Option<String> {
    stream.sent().unwrap().headers.text(name).map(str::to_owned)
}

#[test]
fn no_steering_header_of_a_client_is_obeyed_or_reaches_a_pod() {
    for way in Way::ALL {
        let world = world(way, &json!({}));
        for (number, (name, value)) in STEERING.into_iter().enumerate() {
            let shouted = name.to_uppercase();
            // Once, in capitals, and twice with the forged one last or first.
            for headers in [
                vec![(name, value)],
                vec![(&*shouted, value)],
                vec![(name, ""), (name, value)],
                vec![(name, value), (name, "")],
            ] {
                let stream = world.chat_with(number % WORKERS, &*headers, &about(name));
                assert_eq!(world.pod(&stream).number, 1, "{way:?}: {headers:?} steered");
                let body = String::from_utf8(stream.sent().unwrap().body).unwrap();
                assert!(body.contains(r#""model":"tiny""#), "{way:?}: {headers:?}: {body}");
                if name != "x-gateway-destination-endpoint" {
                    assert_eq!(seen(&stream, name), None, "{way:?}: {headers:?} came through");
                }
                stream.respond(200, (), b"{}");
                // The same for a request that is not read.
                let worker = world.envoy.worker(number % WORKERS);
                let stream = worker.post("/v1/audio/speech", &*headers, b"no JSON");
                assert_eq!(world.pod(&stream).number, 1, "{way:?}: unread {headers:?} steered");
                if name != "x-gateway-destination-endpoint" {
                    assert_eq!(seen(&stream, name), None, "{way:?}: unread {headers:?}");
                }
                stream.respond(200, (), b"{}");
            }
        }
        world.is_well();
    }
}

/// A path that the client calls the original one has no body read as something that it is not.
#[test]
fn a_clients_original_path_is_no_path() {
    let world = world(Way::STOP_ITERATION_HEADER, &json!({}));
    for name in ["x-original-path", "x-forwarded-path"] {
        let headers = [(name, "/v1/chat/completions")];
        let stream = world.envoy.worker(0).post("/internal", &headers, b"no JSON");
        assert_eq!(stream.status(), None, "{name}: passes by load");
        assert_eq!(seen(&stream, name), None);
    }
    world.is_well();
}

#[test]
fn what_is_trusted_is_obeyed_and_nothing_else() {
    let trusted = |name: &str| json!({"identity": {"trusted": [name]}});
    for way in Way::ALL {
        for (name, value) in STEERING.into_iter().skip(1) {
            let world = world(way, &trusted(name));
            let others = STEERING.into_iter().skip(1).filter(|(other, _)| *other != name);
            let headers: Vec<_> = others.clone().chain([(name, value)]).collect();
            let stream = world.chat_with(0, &*headers, "hello");
            let pod = world.pod(&stream).number;
            assert_eq!(pod, if name == SUBSET { 2 } else { 1 }, "{way:?}: {name}");
            for (other, _) in others {
                assert_eq!(seen(&stream, other), None, "{way:?}: {other} beside {name}");
            }
            let body = String::from_utf8(stream.sent().unwrap().body).unwrap();
            assert_eq!(body.contains("forged"), name.contains("rewrite"), "{way:?}: {name}");
            // The subset is for this filter; all else goes on as it came.
            let passed = (name != SUBSET).then(|| value.to_owned());
            assert_eq!(seen(&stream, name), passed, "{way:?}: {name}");
            world.is_well();
        }
    }
}

/// Filters in front write dynamic metadata, and clients can't (EPP: subset hint).
#[test]
fn a_subset_in_metadata_is_obeyed_whatever_the_client_says() {
    for way in Way::ALL {
        let world = world(way, &json!({}));
        for (hint, pod) in [("", 1), ("10.0.0.2:8000, 192.0.2.1", 2), ("10.0.0.1", 1)] {
            world.envoy.set_property(SUBSET_METADATA, hint);
            for forged in [None, Some("10.0.0.1"), Some("10.0.0.2")] {
                let headers: Vec<_> = forged.map(|list| (SUBSET, list)).into_iter().collect();
                let stream = world.chat_with(0, &*headers, "hello");
                assert_eq!(world.pod(&stream).number, pod, "{way:?}: {hint:?}, {forged:?}");
                assert_eq!(seen(&stream, SUBSET), None);
                stream.respond(200, (), b"{}");
            }
        }
        world.envoy.set_property(SUBSET_METADATA, "192.0.2.1");
        let stream = world.chat(0, "hello");
        assert_eq!(stream.status(), Some(503), "{way:?}: none of the pool");
        world.is_well();
    }
}

/// Routes of others are none of ours: what their proxies say there stays.
#[test]
fn requests_for_no_pool_keep_their_paths() {
    let pools = json!([{"name": "default", "match": {"host": "models.example"}}]);
    let world = world(Way::STOP_ITERATION_HEADER, &json!({"pools": pools}));
    let headers = [("x-original-path", "/theirs"), ("x-prefiller-host-port", "192.0.2.66:22")];
    let stream = world.envoy.worker(0).post(CHAT, &headers, &chat_body("hello"));
    assert_eq!(seen(&stream, "x-original-path").as_deref(), Some("/theirs"));
    assert_eq!(
        seen(&stream, "x-prefiller-host-port"),
        None,
        "it may come to our pods all the same"
    );
    world.is_well();
}
