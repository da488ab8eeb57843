//! What a request is refused for, and in which words.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use host_mock::Stream;
use serde_json::{Value, json};
use wire::tally::{ErrorCode, Labels, Measure, RefusedStatus};

use super::{
    push::Pod,
    tallied::Tallied,
    world::{CHAT, Way, World, chat_body},
};

const NONE: &[(&str, &str)] = &[];

/// Status, dropped reason and message of an answer from the filter, whose envelope must be whole.
fn told(stream: &Stream) -> String {
    assert_eq!(stream.sent(), None, "refused, and yet sent");
    let response = stream.response().unwrap();
    assert!(response.complete);
    assert_eq!(response.headers.text("content-type"), Some("application/json"));
    let body: Value = serde_json::from_slice(&response.body).unwrap();
    let kind = if response.status < 500 { "invalid_request_error" } else { "server_error" };
    assert_eq!(body["error"]["type"], kind);
    assert_eq!(body["error"]["code"], response.status);
    let reason = response.headers.text("x-llm-d-request-dropped-reason");
    let reason = reason.map(|reason| format!(" [{reason}]")).unwrap_or_default();
    format!("{}{reason} {}", response.status, body["error"]["message"].as_str().unwrap())
}

/// Requests that were answered with this status, by the scraper's and by Envoy's count.
fn refused(world: &World, status: RefusedStatus) -> u64 {
    let tallied = Tallied::of(world, &[]).sum(&Labels::Pool, Measure::Refused(status));
    let envoys = world.envoy.metric("llm_picker_envoy_refused_total");
    assert_eq!(envoys, Some(host_mock::Metric::Counter(tallied)));
    tallied
}

#[test]
fn a_body_that_is_no_request_is_refused_in_the_epps_words() {
    let world = World::new();
    world.pods(&[Pod::idle(1)]);
    let worker = world.envoy.worker(2);
    let post = |path, body: &[u8]| told(&worker.post(path, NONE, body));
    let transcript: Vec<String> = [
        (CHAT, &b"{"[..]),
        (CHAT, b"[1]"),
        (CHAT, b"{\"model\": \"tiny\", \"messages\": [{}]} x"),
        (CHAT, b"\xff{}"),
        (CHAT, br#"{"model": "tiny"}"#),
        (CHAT, br#"{"model": "tiny", "messages": []}"#),
        (CHAT, br#"{"model": "tiny", "messages": "no list"}"#),
        ("/v1/completions?x=1", br#"{"prompt": "hi"]"#),
    ]
    .into_iter()
    .map(|(path, body)| format!("{}\n    {}", String::from_utf8_lossy(body), post(path, body)))
    .collect();
    insta::assert_snapshot!(transcript.join("\n"), @r#"
    {
        400 error unmarshaling request bodyMap: unexpected end of JSON input (byte 1)
    [1]
        400 error unmarshaling request bodyMap: json: cannot unmarshal array into Go value of type map[string]interface {}
    {"model": "tiny", "messages": [{}]} x
        400 error unmarshaling request bodyMap: invalid character 'x' after top-level value (byte 36)
    �{}
        400 error unmarshaling request bodyMap: invalid character 'ÿ' looking for beginning of value (byte 0)
    {"model": "tiny"}
        400 invalid chat completions request: must have valid messages field
    {"model": "tiny", "messages": []}
        400 invalid chat completions request: must have valid messages field
    {"model": "tiny", "messages": "no list"}
        400 invalid chat completions request: must have valid messages field
    {"prompt": "hi"]
        400 error unmarshaling request bodyMap: invalid character ']' after object key:value pair (byte 15)
    "#);
    let stream = worker.post(CHAT, NONE, &[b'['; 100_000]);
    assert!(told(&stream).starts_with("400 "), "nested too deep");
    assert_eq!(refused(&world, RefusedStatus::S400), 9);
    // No pool was chosen yet: the first that they may be for has them among its errors, without a model.
    let errors = Tallied::of(&world, &[Pod::idle(1)]);
    let nameless = Labels::request("", "", "default-flow", 0);
    assert_eq!(errors.sum(&nameless, Measure::Errors(ErrorCode::BadRequest)), 9);
    world.is_well();
}

#[test]
fn a_request_without_its_body_is_refused_and_not_held_for_ever() {
    let world = World::new();
    world.pods(&[Pod::idle(1)]);
    let empty = world.envoy.worker(0).post(CHAT, NONE, b"");
    insta::assert_snapshot!(told(&empty), @"400 error unmarshaling request bodyMap: unexpected end of JSON input (byte 0)");
    let only_trailers = world.envoy.worker(1).post_headers(CHAT, NONE);
    only_trailers.trailers(&[("x-checksum", "0")]);
    assert_eq!(told(&only_trailers), told(&empty));
    world.is_well();
}

#[test]
fn a_body_over_the_limit_is_refused() {
    for way in Way::ALL {
        let world = World::with(way, &json!({"envoy": {"maxBodyBytes": 1000}}));
        world.pods(&[Pod::idle(1)]);
        let worker = world.envoy.worker(3);
        for declared in ["1001", "5000000000", "18446744073709551615"] {
            let stream = worker.post_headers(CHAT, &[("content-length", declared)]);
            if declared == "1001" {
                assert_eq!(stream.status(), None, "{way:?}: the client may write before it reads");
                stream.end();
            }
            assert_eq!(
                told(&stream),
                "413 the request body is larger than 1000 bytes",
                "{way:?}: {declared}"
            );
        }
        let chunked = worker.post_headers(CHAT, NONE);
        chunked.chunk(&[b' '; 600]);
        assert_eq!(chunked.status(), None);
        chunked.chunk(&[b' '; 401]);
        chunked.chunk(b"more");
        assert_eq!(chunked.status(), None);
        chunked.end();
        assert!(told(&chunked).starts_with("413 "), "{way:?}");
        let body = chat_body(&"x".repeat(1000 - chat_body("").len()));
        assert_eq!(world.pod(&worker.post(CHAT, NONE, &body)).number, 1, "{way:?}: just the limit");
        assert_eq!(refused(&world, RefusedStatus::S413), 4);
        world.is_well();
    }
}

/// A page shows an error only if the answer lets it; a log finds the request by its id.
#[test]
fn a_refusal_says_why_to_pages_and_logs_too() {
    let world = World::with(Way::STOP_ITERATION_HEADER, &json!({"envoy": {"maxBodyBytes": 1000}}));
    world.pods(&[Pod::idle(1)]);
    let from = [("origin", "https://chat.example"), ("x-request-id", "r-1")];
    let refused = |headers: &[(&str, &str)], path: &str, body: &[u8]| {
        let stream = world.envoy.worker(0).post(path, headers, body);
        stream.response().unwrap().headers
    };
    for (path, body, reason) in [
        (CHAT, &b"{"[..], "no-json"),
        (CHAT, b"[]", "no-object"),
        (CHAT, b"{}", "no-prompt"),
        (CHAT, &[b'['; 1_000], "no-json"),
        (CHAT, &[b' '; 1_001], "too-large"),
        ("/v1/load_lora_adapter", b"{}", "control-call"),
    ] {
        let headers = refused(&from, path, body);
        assert_eq!(headers.text("x-llm-picker-reason"), Some(reason));
        assert_eq!(headers.text("x-request-id"), Some("r-1"), "{reason}");
        assert_eq!(headers.text("access-control-allow-origin"), Some("*"), "{reason}");
        let headers = refused(NONE, path, body);
        assert_eq!(headers.text("x-request-id"), None, "{reason}");
        assert_eq!(headers.text("access-control-allow-origin"), None, "{reason}");
    }
    world.pods(&[]);
    let headers = refused(&from, CHAT, &chat_body("hello"));
    assert_eq!(headers.text("x-llm-picker-reason"), Some("no-endpoints"));
    let long = "x".repeat(129);
    let headers = refused(&[("x-request-id", &*long)], CHAT, b"{");
    assert_eq!(headers.text("x-request-id"), None, "no echo of whatever comes");
    world.is_well();
}

#[test]
fn a_length_that_is_none_is_not_believed() {
    let world = World::with(Way::STOP_ITERATION_HEADER, &json!({"envoy": {"maxBodyBytes": 1000}}));
    world.pods(&[Pod::idle(1)]);
    let odd: [&[u8]; 4] = [b"-1", b"1e9", b"\xff", b""];
    for length in odd {
        let stream = world.chat_with(0, &[("content-length", length)], "hello");
        assert_eq!(world.pod(&stream).number, 1, "{length:?}");
    }
    world.is_well();
}

#[test]
fn a_pool_that_has_nothing_to_offer_says_so() {
    let world = World::new();
    insta::assert_snapshot!(told(&world.chat(0, "hello")), @"503 [rejected-no-endpoints] no endpoints available: no snapshot of the pool has arrived yet");
    let bodyless = world.envoy.worker(1).get("/v1/models", NONE);
    assert_eq!(told(&bodyless), told(&world.chat(2, "hello")));
    world.pods(&[]);
    insta::assert_snapshot!(told(&world.chat(1, "hello")), @"503 [rejected-no-endpoints] failed to find endpoint candidates for serving the request");
    assert_eq!(refused(&world, RefusedStatus::S503), 4);
    world.is_well();
    let open = World::with(Way::STOP_ITERATION_HEADER, &json!({"failureMode": "FailOpen"}));
    open.pods(&[]);
    assert!(told(&open.chat(1, "hello")).starts_with("503 "), "known to be empty");
}
