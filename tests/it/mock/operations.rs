//! Requests of every class: read, by load with a model, at once, refused; in every way into Envoy.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{collections::BTreeSet, time::Duration};

use host_mock::Stream;
use picker_core::Snapshot;
use serde_json::{Value, json};
use wire::config::Hold;

use super::{
    push::{Pod, Push},
    world::{CHAT, Way, World, chat_body},
};

const NONE: &[(&str, &str)] = &[];

/// Within this time a place that falls free is granted.
const SOON: Duration = Duration::from_millis(100);

/// Time for which a request that computes nothing goes by the last look at the store.
const LOOKS_EVERY: Duration = Duration::from_millis(50);

/// A pool with room for one request.
fn full(way: Way) -> (World, Stream) {
    let detector = json!({"type": "concurrency-detector", "parameters": {"maxConcurrency": 1}});
    let keys = json!({
        "featureGates": ["flowControl"], "plugins": [detector],
        "flowControl": {"saturationDetector": {"pluginRef": "concurrency-detector"}},
    });
    let world = World::with(way, &keys);
    world.pods(&[Pod::idle(1)]);
    let running = world.chat(0, "hello");
    assert_eq!(world.pod(&running).number, 1);
    (world, running)
}

fn request(world: &World, method: &str, path: &str, body: Option<&[u8]>) -> Stream {
    let headers = [(":method", method), (":path", path), ("content-type", "application/json")];
    let stream = if body.is_some() {
        world.envoy.worker(1).post_headers(path, &headers[..])
    } else {
        world.envoy.worker(1).get(path, &headers[..])
    };
    if let Some(body) = body {
        stream.chunk(body);
        stream.end();
    }
    stream
}

#[test]
fn what_computes_nothing_waits_for_nothing() {
    for way in Way::ALL {
        let (world, running) = full(way);
        for (method, path, body) in [
            ("GET", "/health", None),
            ("GET", "/v1/models", None),
            ("GET", "/v1/responses/r1", None),
            ("OPTIONS", CHAT, None),
            ("POST", "/v1/responses/r1/cancel", None),
            ("POST", "/v1/responses/r1/cancel", Some(&b"{}"[..])),
            ("POST", "/abort_request", Some(&b"{\"rid\":\"1\"}"[..])),
            ("POST", CHAT, None),
            ("DELETE", "/v1/responses/r1", None),
        ] {
            let stream = request(&world, method, path, body);
            assert_eq!(world.pod(&stream).number, 1, "{way:?} {method} {path}");
            assert_eq!(world.in_flight("10.0.0.1:8000").0, 1, "{way:?} {path}: not counted");
            stream.respond(200, NONE, b"{}");
        }
        let held = world.chat(2, "hello");
        assert!(held.sent().is_none() && held.status().is_none(), "{way:?}: inference waits");
        running.respond(200, NONE, b"{}");
        world.envoy.run_for(SOON);
        assert_eq!(world.pod(&held).number, 1, "{way:?}");
        world.is_well();
    }
}

/// The real buffer filter lets these pass, by its matcher: that is told in `envoy`.
#[test]
fn a_websocket_is_placed_at_its_headers_and_counted_until_it_ends() {
    let ways = Way::ALL.into_iter().filter(|way| way.hold() == Hold::StopIteration);
    for way in ways {
        let (world, running) = full(way);
        for path in ["/v1/realtime", "/v1/responses", CHAT] {
            let headers = [(":method", "GET"), ("connection", "Upgrade"), ("upgrade", "websocket")];
            let socket = world.envoy.worker(1).post_headers(path, &headers[..]);
            assert!(socket.sent().is_none(), "{way:?} {path}: it waits its turn");
            assert_eq!(world.in_flight("10.0.0.1:8000").0, 1);
            socket.disconnect();
        }
        running.respond(200, NONE, b"{}");
        world.envoy.run_for(SOON);
        let headers = [(":method", "GET"), ("connection", "Upgrade"), ("upgrade", "websocket")];
        let socket = world.envoy.worker(1).post_headers("/v1/realtime", &headers[..]);
        assert_eq!(world.pod(&socket).number, 1, "{way:?}");
        socket.respond_headers(101, &[("upgrade", "websocket")]);
        socket.chunk(b"\x81\x85....");
        socket.respond_chunk(b"\x81\x05hello");
        assert_eq!(world.in_flight("10.0.0.1:8000").0, 1, "{way:?}: open");
        socket.respond_end();
        assert_eq!(world.in_flight("10.0.0.1:8000").0, 0, "{way:?}: closed");
        world.is_well();
    }
}

#[test]
fn what_computes_nothing_needs_a_pod_all_the_same() {
    let closed = World::with(Way::STOP_ITERATION_HEADER, &json!({"failureMode": "FailClose"}));
    let health = |world: &World| request(world, "GET", "/health", None);
    assert_eq!(health(&closed).status(), Some(503), "no snapshot");
    closed.pods(&[]);
    assert_eq!(health(&closed).status(), Some(503), "no pod");
    let open = World::with(Way::STOP_ITERATION_HEADER, &json!({"failureMode": "FailOpen"}));
    let stream = health(&open);
    assert_eq!((open.destinations(&stream), stream.sent().is_some()), (None, true));
    // A pod that is down is left alone.
    open.pods(&[Pod::idle(1), Pod { up: false, ..Pod::idle(2) }]);
    assert!((0..20).all(|_| open.pod(&health(&open)).number == 1));
    // A list to fall back on, by chance, so that one pod does not have all of them. The snapshot is seen once the look
    // before is 50 ms old.
    open.pods(&Pod::idles(3));
    assert!((0..20).all(|_| open.pod(&health(&open)).number == 1));
    open.envoy.run_for(LOOKS_EVERY);
    let firsts: BTreeSet<u8> = (0..40).map(|_| open.pod(&health(&open)).number).collect();
    assert_eq!(firsts.len(), 3);
    assert_eq!(open.destinations(&health(&open)).unwrap().split(',').count(), 3);
    open.is_well();
    closed.is_well();
}

#[test]
fn a_call_that_changes_one_engine_is_refused() {
    let world = World::new();
    world.pods(&[Pod::idle(1)]);
    for path in [
        "/sleep?level=1",
        "/v1/load_lora_adapter",
        "/team/wake_up/",
        "/api/pull",
        "/api/blobs/sha256:29fdb92e57cf0827ded04ae6461b5931d01fa595843f55d36f5b275a52087dd2",
        "/hicache/storage-backend/clear",
        "/v2/systemsharedmemory/region/a/register",
        "/v2/cudasharedmemory/unregister",
        "/slots/0?action=erase",
        "/lora-adapters",
        "/release_memory",
        "/workers/7/drain",
    ] {
        let stream = request(&world, "POST", path, Some(b"{}"));
        let response = stream.response().unwrap();
        assert_eq!(response.status, 403, "{path}");
        assert!(response.text().contains("to the pods themselves"), "{}", response.text());
    }
    // What such a path says when it is read is any pod's to say.
    for (method, status) in [("GET", None), ("DELETE", Some(403))] {
        let stream = request(&world, method, "/hicache/storage-backend", None);
        assert_eq!(stream.status(), status, "{method}");
    }
    for path in ["/lora-adapters", "/slots", "/props", "/v2/models/m/trace/setting"] {
        assert_eq!(request(&world, "GET", path, None).status(), None, "{path}");
    }
    world.is_well();
}

#[test]
fn what_other_engines_take_passes() {
    for way in Way::ALL {
        let world = World::with(way, &json!({}));
        world.pods(&[Pod::idle(1)]);
        for (path, body) in [
            ("/v2/models/ensemble/generate", json!({"text_input": "x", "max_tokens": 4})),
            ("/generate", json!({"inputs": "x"})),
            ("/generate", json!({"input_embeds": [[0.1]]})),
            ("/api/generate", json!({"model": "m", "prompt": "x"})),
            ("/v1/regenerate", json!({"a": 1})),
            ("/v1/threads/t/messages", json!({"role": "user", "content": "x"})),
            ("/v1/whatever", json!([1])),
            ("/", json!({"inputs": "x", "parameters": {"max_new_tokens": 4}, "stream": false})),
            ("/vertex", json!({"instances": [{"inputs": "x"}]})),
            ("/chat_tokenize", json!({"messages": [{"role": "user", "content": "x"}]})),
            ("/v1/decisions", json!({"model": "m", "input": "x", "questions": [{"type": "bool"}]})),
            ("/rollout/generate", json!({"prompt": "x", "seed": 1})),
            ("/v1/videos", json!({"model": "m", "prompt": "a river", "seconds": "4"})),
            ("/v1/chat/completions/input_tokens", json!({"messages": []})),
            ("/v2/repository/index", json!({"ready": true})),
            ("/kv_cache_events", json!({})),
        ] {
            let body = body.to_string();
            let stream = request(&world, "POST", path, Some(body.as_bytes()));
            assert_eq!(world.pod(&stream).number, 1, "{way:?} {path}");
            assert_eq!(stream.sent().unwrap().body, body.as_bytes(), "{way:?} {path}");
        }
        let no_json = request(&world, "POST", "/v1/rerank", Some(b"no JSON"));
        assert_eq!(no_json.sent().unwrap().body, b"no JSON", "the engine says what is wrong");
        world.is_well();
    }
}

fn form(model: &str) -> String {
    format!(
        "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n--b\r\n\
         Content-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF\0\r\n--b--\r\n"
    )
}

fn post_form(world: &World, model: &str) -> Stream {
    let body = form(model);
    let length = body.len().to_string();
    let headers =
        [("content-type", "multipart/form-data; boundary=b"), ("content-length", &length)];
    world.envoy.worker(1).post("/v1/audio/transcriptions", &headers[..], body.as_bytes())
}

#[test]
fn a_model_is_rewritten_wherever_it_stands() {
    let rule =
        json!({"matches": [{"model": {"value": "gpt-4"}}], "targets": [{"modelRewrite": "m"}]});
    let keys = json!({"modelRewrites": [{"name": "alias", "rules": [rule]}]});
    for way in Way::ALL {
        let world = World::with(way, &keys);
        world.pods(&[Pod::idle(1)]);
        let body = |model: &str| json!({"query": "q", "model": model, "n": 1.0}).to_string();
        for path in [
            "/v1/rerank",
            "/v1/score",
            "/tokenize",
            "/v1/audio/speech",
            "/invocations",
            "/v1/chat/completions/batch",
            "/v1/of/tomorrow",
        ] {
            let stream = request(&world, "POST", path, Some(body("gpt-4").as_bytes()));
            let sent = String::from_utf8(stream.sent().unwrap().body).unwrap();
            assert_eq!(sent, body("m"), "{way:?} {path}");
        }
        let stream = post_form(&world, "gpt-4");
        let sent = stream.sent().unwrap();
        assert_eq!(String::from_utf8(sent.body).unwrap(), form("m"), "{way:?}");
        let length = sent.headers.text("content-length").map(str::to_owned);
        assert!(length.is_none_or(|it| it == form("m").len().to_string()), "{way:?}");
        for (method, path, expected) in [
            (
                "POST",
                "/openai/deployments/gpt-4/chat/completions?v=1",
                "/openai/deployments/m/chat/completions?v=1",
            ),
            ("POST", "/v1beta/models/gpt-4:generateContent", "/v1beta/models/m:generateContent"),
            ("GET", "/v1/models/gpt-4", "/v1/models/m"),
            ("GET", "/v1/models/other", "/v1/models/other"),
        ] {
            let body = (method == "POST").then(|| chat_body("hi"));
            let stream = request(&world, method, path, body.as_deref());
            let sent = stream.sent().unwrap();
            assert_eq!(sent.headers.text(":path"), Some(expected), "{way:?}");
            assert_eq!(sent.body, body.unwrap_or_default(), "{way:?}");
        }
        world.is_well();
    }
}

#[test]
fn a_model_chooses_the_pool_wherever_it_stands() {
    let pools = json!([{"name": "a", "match": {"model": "a-7b"}}, {"name": "b"}]);
    for way in Way::ALL {
        let world = World::with(way, &json!({"pools": pools}));
        for (pool, number) in [("a", 1), ("b", 2)] {
            let endpoints = vec![Pod::idle(number).endpoint()];
            let snapshot = Snapshot { pool: pool.to_owned(), endpoints, ..Snapshot::default() };
            let body = wire::snapshot::encode(&snapshot).unwrap();
            let push = Push { body, ..world.push(&[]) };
            assert_eq!(world.ingest(0, &push.headers(), &push.body).status(), Some(204));
        }
        for (model, number) in [("a-7b", 1), ("b-7b", 2)] {
            let json: Value = json!({"model": model});
            let body = json.to_string();
            let chosen = |stream: &Stream| world.pod(stream).number;
            let rerank = request(&world, "POST", "/v1/rerank", Some(body.as_bytes()));
            assert_eq!(chosen(&rerank), number, "{way:?} {model}");
            assert_eq!(chosen(&post_form(&world, model)), number, "{way:?} {model}");
            let path = format!("/model/{model}/converse");
            let bedrock = request(&world, "POST", &path, Some(b"{}"));
            assert_eq!(chosen(&bedrock), number, "{way:?} {model}");
            let retrieve = request(&world, "GET", &format!("/v1/models/{model}"), None);
            assert_eq!(chosen(&retrieve), number, "{way:?} {model}");
        }
        world.is_well();
    }
}

/// What engines take and this parser does not read is passed on, and counted.
#[test]
fn what_cannot_be_read_goes_by_load() {
    for way in Way::ALL {
        let world = World::with(way, &json!({}));
        world.pods(&[Pod::idle(1)]);
        let wide: Vec<u8> = String::from_utf8(chat_body("hi"))
            .unwrap()
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        for (encoding, body) in [
            ("gzip", &b"\x1f\x8b\x08"[..]),
            ("zstd", b"\x28\xb5"),
            ("br", b"\0"),
            ("identity", &wide),
        ] {
            let headers = [("content-type", "application/json"), ("content-encoding", encoding)];
            let stream = world.envoy.worker(0).post(CHAT, &headers[..], body);
            assert_eq!(world.pod(&stream).number, 1, "{way:?} {encoding}");
            assert_eq!(stream.sent().unwrap().body, body, "{way:?} {encoding}");
            stream.respond(200, NONE, b"{}");
        }
        world.envoy.advance(Duration::from_secs(1));
        world.chat(0, "hi").respond(200, NONE, b"{}");
        assert_eq!(world.counter("llm_picker_envoy_unread_total"), 4, "{way:?}");
        world.is_well();
    }
}

/// A file that no model decides about is not held up.
#[test]
fn an_upload_streams_where_its_model_decides_nothing() {
    let world = World::new();
    world.pods(&[Pod::idle(1)]);
    let upload = |content_type| {
        let headers = [("content-type", content_type)];
        let stream = world.envoy.worker(1).post_headers("/v1/audio/transcriptions", &headers[..]);
        stream.chunk(b"--b\r\n");
        stream
    };
    for kind in ["multipart/form-data; boundary=b", "application/octet-stream"] {
        assert!(upload(kind).sent().is_some_and(|it| it.body == b"--b\r\n"), "{kind}");
    }
    let long = [("content-type", "application/json"), ("content-length", "99999999999")];
    let stream = world.envoy.worker(1).post_headers("/v1/rerank", &long[..]);
    assert!(stream.sent().is_some(), "longer than what is read");
    world.is_well();
}
