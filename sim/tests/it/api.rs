//! The OpenAI API as vLLM 0.32 speaks it.

use std::{
    io::Read,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sim::{Fault, Kind, LoraModule, Options, Policy, Server};

use crate::client::{call, get, open, post};

fn server(options: Options) -> Server {
    Server::start(Options { speed: 50.0, ..options }).unwrap()
}

/// The body as JSON, with what differs from run to run made equal.
fn body(answer: &str) -> Value {
    let mut body: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    if body.get("created").is_some() {
        body["created"] = json!(0);
    }
    body
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap()
}

/// Waits, not long, for what a step of the engine brings.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_completion_has_vllms_fields() {
    let server = server(Options::default());
    let ask = r#"{"model":"tiny","prompt":"hello world","max_tokens":3,"ignore_eos":true}"#;
    let answer = call(
        server.addr,
        "POST /v1/completions",
        "x-request-id: abc\r\nendpoint-load-metrics-format: TEXT\r\n",
        ask,
    )
    .unwrap();
    assert!(answer.contains("\r\nx-request-id: abc\r\n"), "{answer}");
    let load = "\r\nendpoint-load-metrics: TEXT named_metrics.num_requests_waiting=0.0, named_metrics.kv_cache_usage_perc=0.0\r\n";
    assert!(answer.contains(load), "{answer}");
    insta::assert_snapshot!(format!("{:#}", body(&answer)), @r#"
    {
      "choices": [
        {
          "finish_reason": "length",
          "index": 0,
          "logprobs": null,
          "prompt_logprobs": null,
          "prompt_token_ids": null,
          "routed_experts": null,
          "stop_reason": null,
          "text": "nor fih cec ",
          "token_ids": null
        }
      ],
      "created": 0,
      "ec_transfer_params": null,
      "id": "cmpl-abc",
      "kv_transfer_params": null,
      "metrics": null,
      "model": "tiny",
      "object": "text_completion",
      "service_tier": null,
      "system_fingerprint": "vllm-0.32.0-simulated",
      "usage": {
        "completion_tokens": 3,
        "completion_tokens_details": null,
        "prompt_tokens": 3,
        "prompt_tokens_details": {
          "cached_tokens": 0,
          "created_cache_tokens": null,
          "multimodal_tokens": null
        },
        "total_tokens": 6
      }
    }
    "#);
}

#[test]
fn a_chat_streams_in_vllms_chunks() {
    let server = server(Options::default());
    let ask = r#"{"model":"tiny","messages":[{"role":"user","content":"hi"}],"max_tokens":2,"stream":true,"stream_options":{"include_usage":true}}"#;
    let answer =
        call(server.addr, "POST /v1/chat/completions", "x-request-id: abc\r\n", ask).unwrap();
    let created = answer.split("\"created\":").nth(1).unwrap().split(',').next().unwrap();
    let events = answer.replace(created, "0");
    let events: Vec<&str> = events.lines().filter(|line| line.starts_with("data:")).collect();
    insta::assert_snapshot!(events.join("\n"), @r#"
    data: {"id":"chatcmpl-abc","object":"chat.completion.chunk","created":0,"model":"tiny","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"prompt_token_ids":null,"prompt_text":null}
    data: {"id":"chatcmpl-abc","object":"chat.completion.chunk","created":0,"model":"tiny","choices":[{"index":0,"delta":{"content":"cam "},"logprobs":null,"finish_reason":null,"token_ids":null}]}
    data: {"id":"chatcmpl-abc","object":"chat.completion.chunk","created":0,"model":"tiny","choices":[{"index":0,"delta":{"content":"lis "},"logprobs":null,"finish_reason":"length","stop_reason":null,"token_ids":null}]}
    data: {"id":"chatcmpl-abc","object":"chat.completion.chunk","created":0,"model":"tiny","choices":[],"usage":{"prompt_tokens":11,"total_tokens":13,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":0,"created_cache_tokens":0}},"system_fingerprint":"vllm-0.32.0-simulated"}
    data: [DONE]
    "#);
}

#[test]
fn bad_requests_are_refused_in_vllms_words() {
    let server = server(Options { max_model_len: 64, ..Options::default() });
    let long = "word ".repeat(60);
    let refusals = [
        r#"{"model":"nope","prompt":"x"}"#,
        r#"{"model":"#,
        r#"{"model":"tiny"}"#,
        r#"{"model":"tiny","prompt":"x","max_tokens":0}"#,
        r#"{"model":"tiny","prompt":"x","max_tokens":65}"#,
        &format!(r#"{{"model":"tiny","prompt":"{long}"}}"#),
    ]
    .map(|ask| {
        let answer = post(server.addr, "/v1/completions", ask);
        format!("{} {}", status(&answer), body(&answer)["error"])
    });
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    404 {"code":404,"message":"The model `nope` does not exist. Valid aliases: tiny.","param":"model","type":"NotFoundError"}
    400 {"code":400,"message":"1 validation error:\n  {'type': 'json_invalid', 'loc': 'body.9', 'msg': 'JSON decode error', 'input': '<dict of 0 items>', 'ctx': {'error': 'EOF while parsing a value at line 1 column 9'}}","param":"body.9","type":"Bad Request"}
    400 {"code":400,"message":"Either prompt or prompt_embeds must be provided and non-empty. (parameter=prompt)","param":"prompt","type":"BadRequestError"}
    400 {"code":400,"message":"max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)","param":"max_tokens","type":"BadRequestError"}
    400 {"code":400,"message":"max_tokens=65 cannot be greater than max_model_len=64. Please request fewer output tokens. (parameter=max_tokens, value=65)","param":"max_tokens","type":"BadRequestError"}
    400 {"code":400,"message":"This model's maximum context length is 64 tokens. However, your prompt contains 75 input tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input prompt. (parameter=input_tokens, value=75)","param":"input_tokens","type":"BadRequestError"}
    "#);
}

#[test]
fn an_answer_sent_back_hits_the_blocks_that_it_filled() {
    let server = server(Options::default());
    let question = json!({"role": "user", "content": "word ".repeat(40)});
    let ask = |messages: Value, salt: &str| {
        let ask = json!({
            "messages": messages, "max_tokens": 64, "ignore_eos": true, "cache_salt": salt,
        });
        body(&post(server.addr, "/v1/chat/completions", &ask.to_string()))
    };
    let first = ask(json!([question]), "");
    let more =
        json!([question, first["choices"][0]["message"], {"role": "user", "content": "go on"}]);
    let cached = |answer: &Value| answer["usage"]["prompt_tokens_details"]["cached_tokens"].clone();
    let prompt = first["usage"]["prompt_tokens"].as_u64().unwrap();
    let known = prompt + 63;
    assert_eq!(cached(&ask(more.clone(), "")), known - known % 16);
    assert_eq!(cached(&ask(more, "other tenant")), 0);
}

#[test]
fn a_client_that_leaves_frees_its_slot() {
    let server = server(Options { max_num_seqs: 1, ..Options::default() });
    let ask = r#"{"prompt":"x","max_tokens":100000,"ignore_eos":true,"stream":true}"#;
    let mut first = open(server.addr, "POST /v1/completions", "", ask).unwrap();
    first.read_exact(&mut [0; 400]).unwrap();
    let second = r#"{"prompt":"y","max_tokens":1}"#;
    let mut second = open(server.addr, "POST /v1/completions", "", second).unwrap();
    eventually("the second request", || server.state()["waiting"] == 1);
    drop(first);
    let mut answer = String::new();
    second.read_to_string(&mut answer).unwrap();
    assert_eq!(status(&answer), "200");
    assert_eq!(server.state()["prompts"][0]["finish"], "abort");
}

#[test]
fn lower_priorities_go_first_and_the_header_wins() {
    let server = server(Options {
        max_num_seqs: 1,
        scheduling_policy: Policy::Priority,
        ..Options::default()
    });
    server.fault(Fault::new(Kind::Pause));
    let ask = |header: &str, priority: i64| {
        let ask = json!({"prompt": "x", "max_tokens": 2, "priority": priority}).to_string();
        open(server.addr, "POST /v1/completions", header, &ask).unwrap()
    };
    let mut clients = Vec::new();
    for (seen, (header, priority)) in
        [("", 0), ("", 5), ("x-vllm-priority: -5\r\n", 10)].into_iter().enumerate()
    {
        clients.push(ask(header, priority));
        eventually("the request", || server.state()["requests"] == seen + 1);
    }
    server.fault(Fault::default());
    for mut client in clients {
        client.read_to_string(&mut String::new()).unwrap();
    }
    let order = server.state()["prompts"].as_array().unwrap().clone();
    let order: Vec<&Value> = order.iter().map(|entry| &entry["id"]).collect();
    assert_eq!(order, [3, 1, 2]);
}

#[test]
fn a_full_queue_answers_503() {
    let server = server(Options { max_num_queued_reqs: 1, ..Options::default() });
    let ask = r#"{"prompt":"x","max_tokens":100000,"ignore_eos":true,"stream":true}"#;
    let first = open(server.addr, "POST /v1/completions", "", ask).unwrap();
    eventually("the first request", || server.state()["requests"] == 1);
    let refused = post(server.addr, "/v1/completions", ask);
    assert_eq!(
        (status(&refused), &body(&refused)["error"]["type"]),
        ("503", &json!("Service Unavailable"))
    );
    let metric =
        r#"vllm:admission_rejections_total{model_name="tiny",reason="max_num_queued_reqs"} 1.0"#;
    assert!(get(server.addr, "/metrics").contains(metric));
    drop(first);
}

#[test]
fn adapters_are_models_with_a_cache_of_their_own() {
    let lora = LoraModule { name: "sql".to_owned(), path: "/adapters/sql".to_owned() };
    let server = server(Options { lora_modules: vec![lora], ..Options::default() });
    let prompt: Vec<u32> = (0..40).collect();
    let cached = |model: &str| {
        let ask = json!({"model": model, "prompt": prompt, "max_tokens": 1}).to_string();
        body(&post(server.addr, "/v1/completions", &ask))["usage"]["prompt_tokens_details"]
            ["cached_tokens"]
            .clone()
    };
    assert_eq!(["tiny", "tiny", "sql", "sql"].map(cached), [0, 32, 0, 32]);
    let models: Value = serde_json::from_str(&get(server.addr, "/v1/models")).unwrap();
    assert_eq!(models["data"][1]["parent"], "tiny");
}
