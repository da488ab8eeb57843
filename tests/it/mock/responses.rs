//! Responses on their way back: watched, renamed, and never held up.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic, and says where it was")]

use std::time::Duration;

use host_mock::{Metric, Stream};
use serde_json::json;

use super::{
    push::Pod,
    world::{CHAT, Way, World, chat_body},
};

const NONE: &[(&str, &str)] = &[];
const EVENTS: &[(&str, &str)] = &[("content-type", "text/event-stream; charset=utf-8")];

/// A world in which clients know the model `tiny` as `gpt-4`.
fn renamed() -> World {
    let target = json!([{"modelRewrite": "tiny"}]);
    let rule = json!({"matches": [{"model": {"value": "gpt-4"}}], "targets": target});
    let world =
        World::with(Way::STOP_ITERATION_HEADER, &json!({"modelRewrites": [{"rules": [rule]}]}));
    world.pods(&[Pod::idle(1)]);
    world
}

fn ask(world: &World, model: &str) -> Stream {
    let body = json!({"model": model, "messages": [{"role": "user", "content": "hi"}]});
    world.envoy.worker(0).post(CHAT, NONE, body.to_string().as_bytes())
}

fn got(stream: &Stream) -> String {
    String::from_utf8(stream.response().unwrap().body).unwrap()
}

#[test]
fn the_client_sees_the_model_that_it_asked_for() {
    let world = renamed();
    let answer =
        r#"{"id":"x","model":"tiny","choices":[{"message":{"content":"\"model\":\"tiny\""}}]}"#;
    let length = answer.len().to_string();
    let headers = [("content-type", "application/json"), ("content-length", &*length)];
    let stream = ask(&world, "gpt-4");
    stream.respond(200, &headers, answer.as_bytes());
    assert_eq!(got(&stream), answer.replacen("\"tiny\"", "\"gpt-4\"", 1));
    assert_eq!(stream.response().unwrap().headers.text("content-length"), None);

    let plain = ask(&world, "tiny");
    plain.respond(200, &headers, answer.as_bytes());
    assert_eq!(got(&plain), answer);
    assert_eq!(plain.response().unwrap().headers.text("content-length"), Some(&*length));

    let zipped = ask(&world, "gpt-4");
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    zipped.respond(200, &headers, answer.as_bytes());
    assert_eq!(got(&zipped), answer, "what is compressed can't be read");
    world.is_well();
}

/// Cut anywhere, each part of a stream is passed on before the next one comes.
#[test]
fn a_stream_is_renamed_without_waiting() {
    let world = renamed();
    let event = "data: {\"model\": \"tiny\", \"choices\": [{\"text\": \"a\"}]}\n\n";
    for cut in 0..event.len() {
        let stream = ask(&world, "gpt-4");
        stream.respond_headers(200, EVENTS);
        for chunk in [&event[..cut], &event[cut..]] {
            stream.respond_chunk(chunk.as_bytes());
        }
        assert_eq!(got(&stream), event.replace("tiny", "gpt-4"), "cut at {cut}");
        stream.respond_chunk(b"data: \"mod");
        stream.respond_end();
        assert!(got(&stream).ends_with("data: \"mod"), "cut at {cut}: the rest comes with the end");
    }
    world.is_well();
}

#[test]
fn a_load_report_is_for_us_and_not_for_the_client() {
    let world = World::new();
    world.pods(&[
        Pod { kv_usage: Some(0.1), ..Pod::idle(1) },
        Pod { kv_usage: Some(0.2), ..Pod::idle(2) },
    ]);
    let report =
        r#"JSON {"named_metrics": {"num_requests_waiting": 7.0, "kv_cache_usage_perc": 0.9}}"#;
    let first = world.chat(0, "one");
    assert_eq!(world.pod(&first).number, 1);
    first.respond_headers(200, &[("endpoint-load-metrics", report), ("x-pod", "1")]);
    first.respond_chunk(b"{}");
    first.respond_end();
    let headers = first.response().unwrap().headers;
    assert_eq!((headers.text("endpoint-load-metrics"), headers.text("x-pod")), (None, Some("1")));
    assert_eq!(world.pod(&world.chat(0, "two")).number, 2, "no scrape was needed to see that");

    let trailed = world.chat(0, "two");
    trailed.respond_headers(200, NONE);
    trailed.respond_trailers(&[
        ("endpoint-load-metrics", "TEXT kv_cache_usage_perc=0.99"),
        ("x", "y"),
    ]);
    let trailers = trailed.response().unwrap().trailers.unwrap();
    assert_eq!((trailers.text("endpoint-load-metrics"), trailers.text("x")), (None, Some("y")));
    world.is_well();
}

const LABELS: &str = ".model_name=gpt-4;.target_model_name=tiny;";
const WHO: &str = ".fairness_id=default-flow;.priority=0";

fn counted(world: &World, name: &str, labels: &str) -> u64 {
    match world.envoy.metric(&format!("llm_d_epp_{name}{labels}")) {
        Some(Metric::Counter(count)) => count,
        Some(Metric::Histogram(values)) => values.iter().sum(),
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn what_a_request_cost_and_how_long_it_took_is_measured() {
    let world = renamed();
    let stream = ask(&world, "gpt-4");
    world.envoy.run_for(Duration::from_millis(40));
    stream.respond_headers(200, EVENTS);
    for event in 0..5 {
        stream.respond_chunk(format!("data: {{\"choices\":[{event}]}}\n\n").as_bytes());
        world.envoy.run_for(Duration::from_millis(10));
    }
    let usage = r#"{"prompt_tokens":21,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":16}}"#;
    stream.respond_chunk(format!("data: {{\"choices\":[],\"usage\":{usage}}}\n\n").as_bytes());
    stream.respond_end();
    let of = |name: &str| counted(&world, name, LABELS);
    insta::assert_snapshot!([
        ("requests", counted(&world, "request_total", &format!("{LABELS}{WHO}"))),
        ("duration", of("request_duration_milliseconds")),
        ("ttft", counted(&world, "request_ttft_milliseconds", &format!("{LABELS}.streaming=true"))),
        ("tpot", of("request_streaming_tpot_microseconds")),
        ("itl", of("request_streaming_itl_microseconds")),
        ("ntpot", of("request_ntpot_microseconds")),
        ("input", of("request_input_tokens")),
        ("output", of("request_output_tokens")),
        ("cached", of("request_cached_tokens")),
    ].map(|(name, value)| format!("{name} {value}")).join("\n"), @"
    requests 1
    duration 90
    ttft 40
    tpot 16666
    itl 10000
    ntpot 22500
    input 21
    output 4
    cached 16
    ");
    let rewrites = ".model_rewrite_name=configured;.model_name=gpt-4;.target_model=tiny;";
    assert_eq!(counted(&world, "model_rewrite_decisions_total", rewrites), 1);
    assert!(of("request_size_bytes") > 0 && of("response_size_bytes") > 0);
    world.is_well();
}

/// Errors by where they came from: the model server's status, an error within a 200, and ours.
#[test]
fn errors_are_counted_by_their_code() {
    let world = renamed();
    let error = |code: &str| {
        world.envoy.metric(&format!("llm_d_epp_request_error_total{LABELS}{WHO}.error_code={code}"))
    };
    ask(&world, "gpt-4").respond(500, NONE, b"{}");
    assert_eq!(error("ModelServerError"), Some(Metric::Counter(1)));
    let stream = ask(&world, "gpt-4");
    stream.respond_headers(200, EVENTS);
    stream.respond_chunk(b"data: {\"error\": {\"code\": 500}}\n\n");
    stream.respond_end();
    assert_eq!(error("ModelServerError"), Some(Metric::Counter(2)));
    ask(&world, "gpt-4").respond(200, NONE, b"{}");
    assert_eq!(error("ModelServerError"), Some(Metric::Counter(2)));
    let empty = ".model_name=;.target_model_name=;";
    world.pods(&[]);
    assert_eq!(world.chat(0, "hello").status(), Some(503));
    let name = format!(
        "llm_d_epp_request_error_total.model_name=tiny;.target_model_name=tiny;{WHO}.error_code=ServiceUnavailable"
    );
    assert_eq!(world.envoy.metric(&name), Some(Metric::Counter(1)), "{empty}");
    world.is_well();
}

/// A client may call its model anything; what is shown of that is bounded.
#[test]
fn names_that_clients_make_up_are_other_in_the_end() {
    let world = World::new();
    world.pods(&[Pod::idle(1)]);
    for n in 0..1_200 {
        let body = chat_body("hi").clone();
        let body = String::from_utf8(body).unwrap().replace("tiny", &format!("made up {n};"));
        world.envoy.worker(0).post(CHAT, NONE, body.as_bytes()).respond(404, NONE, b"{}");
    }
    let other =
        world.envoy.metric("llm_d_epp_request_total.model_name=other;.target_model_name=other;");
    assert!(matches!(other, Some(Metric::Counter(100..))), "{other:?}");
    world.is_well();
}

#[test]
fn the_pool_is_shown_every_five_seconds() {
    let world = World::new();
    world.pods(&[Pod { waiting: 2, kv_usage: Some(0.5), ..Pod::idle(1) }, Pod::idle(2)]);
    let held = world.chat(0, "hello");
    world.envoy.run_for(Duration::from_secs(6));
    let gauge = |name: &str| world.envoy.metric(&format!("llm_d_epp_{name}.name=default;"));
    let gauges = [
        "average_kv_cache_utilization_thousandths",
        "std_dev_kv_cache_utilization_thousandths",
        "average_queue_size_thousandths",
        "ready_endpoints",
        "request_running",
    ];
    let told = gauges.map(|name| format!("{name} {:?}", gauge(name).unwrap()));
    insta::assert_snapshot!(told.join("\n"), @"
    average_kv_cache_utilization_thousandths Gauge(250)
    std_dev_kv_cache_utilization_thousandths Gauge(250)
    average_queue_size_thousandths Gauge(1000)
    ready_endpoints Gauge(2)
    request_running Gauge(1)
    ");
    let queue =
        "llm_d_epp_per_endpoint_queue_size.name=default;.model_server_endpoint=10.0.0.1:8000;";
    assert_eq!(world.envoy.metric(queue), Some(Metric::Gauge(2)));
    drop(held);
    world.is_well();
}
