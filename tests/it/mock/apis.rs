//! Every API whose requests are read, by what is chosen for them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::{Value, json};

use super::{
    push::Pod,
    world::{Way, World, about},
};

const NONE: &[(&str, &str)] = &[];

/// Paths, and bodies with this prompt.
fn requests(prompt: &str) -> Vec<(&'static str, Value)> {
    let message = json!({"role": "user", "content": prompt});
    let tokens: Vec<u32> = prompt.bytes().map(u32::from).collect();
    vec![
        ("/v1/chat/completions", json!({"model": "m", "messages": [message]})),
        ("/v1/completions", json!({"model": "m", "prompt": prompt})),
        ("/v1/completions", json!({"model": "m", "prompt": [prompt, "b"]})),
        ("/v1/completions", json!({"model": "m", "prompt": tokens})),
        ("/v1/embeddings", json!({"model": "m", "input": prompt})),
        ("/v1/responses", json!({"model": "m", "input": prompt})),
        ("/v1/conversations", json!({"items": [message]})),
        ("/v1/images/generations", json!({"model": "m", "prompt": prompt})),
        ("/v1/messages", json!({"model": "m", "max_tokens": 1, "messages": [message]})),
        ("/inference/v1/generate", json!({"model": "m", "token_ids": tokens})),
        ("/generate", json!({"input_ids": tokens})),
        ("/generate", json!({"text": prompt})),
    ]
}

#[test]
fn a_prompt_finds_its_pod_again_by_every_api() {
    for (path, body) in requests(&about("rivers")) {
        let world = World::new();
        world.pods(&[Pod::idle(1), Pod { kv_usage: Some(0.1), ..Pod::idle(2) }]);
        let ask = |worker, body: &Value| {
            world.envoy.worker(worker).post(path, NONE, body.to_string().as_bytes())
        };
        assert_eq!(world.pod(&ask(0, &body)).number, 1, "{path}");
        world.pods(&[Pod { kv_usage: Some(0.5), ..Pod::idle(1) }, Pod::idle(2)]);
        let again = ask(1, &body);
        assert_eq!(world.pod(&again).number, 1, "{path}: it is cached there");
        assert!(World::decision(&again).contains("prefix-hit=1.00"), "{path}");
        let (_, other) =
            requests(&about("stars")).into_iter().find(|(other, _)| *other == path).unwrap();
        assert_eq!(world.pod(&ask(2, &other)).number, 2, "{path}: another prompt");
        world.is_well();
    }
}

/// What only counts or renders tokens leaves no cache behind.
#[test]
fn what_is_not_computed_goes_by_load() {
    let body = |content: &str| {
        json!({"model": "m", "messages": [{"role": "user", "content": content}], "prompt": content})
            .to_string()
    };
    let prompt = about("rivers");
    for path in
        ["/v1/messages/count_tokens", "/v1/chat/completions/render", "/v1/completions/render"]
    {
        let world = World::new();
        world.pods(&[Pod::idle(1), Pod { waiting: 9, ..Pod::idle(2) }]);
        let ask = || world.envoy.worker(0).post(path, NONE, body(&prompt).as_bytes());
        assert_eq!(world.pod(&ask()).number, 1, "{path}");
        world.pods(&[Pod { waiting: 9, ..Pod::idle(1) }, Pod::idle(2)]);
        let again = ask();
        assert_eq!(world.pod(&again).number, 2, "{path}");
        assert!(!World::decision(&again).contains("prefix-hit="), "{path}: nothing to hit");
        world.is_well();
    }
}

/// A gateway that rewrote the path says what it was.
#[test]
fn the_path_before_a_rewrite_counts() {
    let trusted = json!({"identity": {"trusted": ["x-original-path", "x-forwarded-path"]}});
    let world = World::with(Way::STOP_ITERATION_HEADER, &trusted);
    world.pods(&[Pod::idle(1)]);
    let post = |headers: &[(&str, &str)]| {
        let stream = world.envoy.worker(0).post("/internal", headers, b"no JSON");
        stream.status()
    };
    assert_eq!(post(NONE), None, "passes by load");
    for name in ["x-original-path", "x-forwarded-path"] {
        assert_eq!(post(&[(name, "/v1/chat/completions?x=1")]), Some(400), "{name}");
    }
    world.is_well();
}

#[test]
fn anthropic_clients_get_errors_in_their_own_envelope() {
    let world = World::with(Way::STOP_ITERATION_HEADER, &json!({"envoy": {"maxBodyBytes": 1000}}));
    let post = |body: &[u8]| {
        let stream = world.envoy.worker(0).post("/v1/messages", NONE, body);
        let response = stream.response().unwrap();
        format!("{} {}", response.status, String::from_utf8(response.body).unwrap())
    };
    let good = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).to_string();
    insta::assert_snapshot!([
        post(b"nope"), post(br#"{"model":"m"}"#), post(&[b' '; 1001]), post(good.as_bytes()),
    ].join("\n"), @r#"
    400 {"type":"error","error":{"type":"invalid_request_error","message":"error unmarshaling request bodyMap: invalid character 'o' in literal null (expecting 'u') (byte 1)"}}
    400 {"type":"error","error":{"type":"invalid_request_error","message":"invalid messages request: must have valid messages field"}}
    413 {"type":"error","error":{"type":"request_too_large","message":"the request body is larger than 1000 bytes"}}
    503 {"type":"error","error":{"type":"overloaded_error","message":"no endpoints available: no snapshot of the pool has arrived yet"}}
    "#);
    world.is_well();
}

/// Longer than what is hashed, by the configuration: it counts up to there.
#[test]
fn a_prompt_over_the_limit_is_hashed_up_to_it() {
    let producer = json!({"type": "approx-prefix-cache-producer", "parameters": {"maxPrefixTokensToMatch": 640}});
    let plugins = json!([{"type": "prefix-cache-scorer"}, producer]);
    let world = World::with(Way::STOP_ITERATION_HEADER, &json!({"plugins": plugins}));
    world.pods(&Pod::idles(3));
    let long = "y".repeat(2 << 20);
    let home = world.pod(&world.chat(0, &format!("{long}a")));
    for worker in 0..4 {
        let stream = world.chat(worker, &format!("{long}b"));
        assert_eq!(world.pod(&stream), home);
        assert!(World::decision(&stream).contains("prefix-hit=1.00"));
    }
    world.is_well();
}
