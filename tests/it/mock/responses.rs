//! Responses on their way back: watched, renamed, and never held up.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use host_mock::Stream;
use serde_json::json;
use wire::tally::{ErrorCode, Labels, Measure};

use super::{
    push::Pod,
    tallied::Tallied,
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

    // An engine with several names for a model answers with the first.
    let alias = ask(&world, "gpt-4");
    let other = answer.replacen("tiny", "t\\u00efny", 1);
    alias.respond(200, &headers, other.as_bytes());
    assert_eq!(got(&alias), answer.replacen("\"tiny\"", "\"gpt-4\"", 1));

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

/// The labels of what [`ask`] asks for as `gpt-4`.
fn labels() -> Labels<'static> {
    Labels::request("gpt-4", "tiny", "default-flow", 0)
}

#[test]
fn what_a_request_cost_and_how_long_it_took_is_measured() {
    let world = renamed();
    let stream = ask(&world, "gpt-4");
    world.envoy.run_for(Duration::from_millis(40));
    stream.respond_headers(200, EVENTS);
    for event in 0..5 {
        let text = format!("data: {{\"choices\":[{{\"text\":\"word {event}\"}}]}}\n\n");
        stream.respond_chunk(text.as_bytes());
        world.envoy.run_for(Duration::from_millis(10));
    }
    let usage = r#"{"prompt_tokens":21,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":16}}"#;
    stream.respond_chunk(format!("data: {{\"choices\":[],\"usage\":{usage}}}\n\n").as_bytes());
    stream.respond_end();
    let tallied = Tallied::of(&world, &[Pod::idle(1)]);
    let of = |measure| tallied.sum(&labels(), measure);
    insta::assert_snapshot!([
        ("requests", of(Measure::Requests)),
        ("duration", of(Measure::Duration)),
        ("ttft", of(Measure::Ttft { streaming: true })),
        ("tpot", of(Measure::StreamedTpot)),
        ("itl", of(Measure::StreamedItl)),
        ("ntpot", of(Measure::PerOutputToken)),
        ("input", of(Measure::InputTokens)),
        ("output", of(Measure::OutputTokens)),
        ("cached", of(Measure::CachedTokens)),
    ].map(|(name, value)| format!("{name} {value}")).join("\n"), @"
    requests 1
    duration 90000
    ttft 40000
    tpot 16666
    itl 40000
    ntpot 22500
    input 21
    output 4
    cached 16
    ");
    // One value for each gap, and the pod's own beside the model's.
    let pod = Pod::idle(1).endpoint().address;
    assert_eq!(tallied.values(&labels(), Measure::StreamedItl), 4);
    let own = Labels::Endpoint(Some(pod));
    assert_eq!(tallied.values(&own, Measure::EndpointItl), 4);
    assert_eq!(tallied.sum(&own, Measure::EndpointTtft), 40_000);
    assert_eq!(tallied.sum(&own, Measure::EndpointTokens), 4);
    assert_eq!(tallied.sum(&own, Measure::EndpointRequests), 1);
    assert_eq!(tallied.values(&Labels::Pool, Measure::SchedulerDuration), 1);
    let rewrites = Labels::rewrite("configured", "gpt-4", "tiny");
    assert_eq!(tallied.sum(&rewrites, Measure::Rewrites), 1);
    assert!(of(Measure::RequestBytes) > 0 && of(Measure::ResponseBytes) > 0);
    let attempt = Labels::attempt(Some(pod), "tiny");
    assert_eq!(tallied.sum(&attempt, Measure::Attempts { sent: true }), 1);
    world.is_well();
}

/// Of one request a second the time of each plugin, with its place in a request's life.
#[test]
fn the_plugins_of_some_requests_are_timed() {
    let world = World::new();
    world.pods(&[Pod::idle(1)]);
    for _ in 0..3 {
        (0..200).for_each(|_| world.chat(0, "hello").respond(200, NONE, b"{}"));
        world.envoy.run_for(Duration::from_secs(1));
    }
    let tallied = Tallied::of(&world, &[Pod::idle(1)]);
    let timed =
        |point, plugin| tallied.values(&Labels::plugin(point, plugin), Measure::PluginDuration);
    let choices = timed("Scorer", "estimated-ttft-scorer");
    assert_eq!(choices, 3, "of 600 in 3 s");
    assert_eq!(timed("DataProducer", "approx-prefix-cache-producer"), choices);
    assert_eq!(timed("Picker", "max-score-picker"), choices);
    let all = tallied.sets().iter().filter_map(|set| set.count(Measure::PluginDuration));
    assert_eq!(all.flat_map(|count| &count.buckets).sum::<u64>(), 3 * choices);
    world.is_well();
}

/// Errors by where they came from: the model server's status, an error within a 200, and ours.
#[test]
fn errors_are_counted_by_their_code() {
    let world = renamed();
    ask(&world, "gpt-4").respond(200, NONE, b"{}");
    ask(&world, "gpt-4").respond(500, NONE, b"{}");
    let stream = ask(&world, "gpt-4");
    stream.respond_headers(200, EVENTS);
    stream.respond_chunk(b"data: {\"error\": {\"code\": 500}}\n\n");
    stream.respond_end();
    world.pods(&[]);
    assert_eq!(world.chat(0, "hello").status(), Some(503));
    let tallied = Tallied::of(&world, &[]);
    let error = |labels: &Labels<'_>, code| tallied.sum(labels, Measure::Errors(code));
    assert_eq!(error(&labels(), ErrorCode::ModelServerError), 2);
    assert_eq!(tallied.sum(&labels(), Measure::Requests), 3);
    let refused = Labels::request("tiny", "tiny", "default-flow", 0);
    assert_eq!(error(&refused, ErrorCode::ServiceUnavailable), 1);
    world.is_well();
}

/// A client may call its model anything; the names that it makes up take no place from real ones.
#[test]
fn names_that_clients_make_up_are_other_in_the_end() {
    let world = World::new();
    world.pods(&[Pod::idle(1)]);
    for n in 0..1_200 {
        let body = chat_body("hi").clone();
        let body = String::from_utf8(body).unwrap().replace("tiny", &format!("made up {n};"));
        world.envoy.worker(0).post(CHAT, NONE, body.as_bytes()).respond(404, NONE, b"{}");
    }
    world.chat(0, "hi").respond(200, NONE, b"{}");
    let tallied = Tallied::of(&world, &[Pod::idle(1)]);
    let other = Labels::request("other", "other", "other", 0);
    assert_eq!(tallied.sum(&other, Measure::Requests), 1_100);
    assert_eq!(tallied.total(Measure::Requests), 1_201);
    let real = Labels::request("tiny", "tiny", "default-flow", 0);
    assert_eq!(tallied.sum(&real, Measure::Requests), 1);
    let made_up = tallied.sets().iter().filter(|set| !set.is_proven).count();
    assert_eq!(made_up, 100, "of requests, and of nothing else");
    world.is_well();
}

/// Requests that run are counted as long as they do, and a dead worker's counts stay.
#[test]
fn a_request_runs_from_its_sending_to_its_end() {
    let world = World::new();
    let pods = [Pod::idle(1)];
    world.pods(&pods);
    let stream = world.chat(0, "hello");
    // Requests that run, those that are on their way to the pod, and the tokens of those that it has not computed.
    let running = |world: &World| {
        let tallied = Tallied::of(world, &pods);
        let of = |is_of: fn(&Labels<'_>) -> bool| {
            let sets = tallied.sets().iter().filter(|set| is_of(&set.labels));
            sets.fold((0, 0), |(running, amount), set| (running + set.running, amount + set.amount))
        };
        let (running, _) = of(|labels| matches!(labels, Labels::Request { .. }));
        let (sent, tokens) = of(|labels| matches!(labels, Labels::Sent { .. }));
        (running, sent, tokens > 0)
    };
    assert_eq!(running(&world), (1, 1, true));
    stream.respond(200, NONE, b"{}");
    assert_eq!(running(&world), (0, 0, false));
    world.chat(1, "hello").respond(200, NONE, b"{}");
    assert_eq!(Tallied::of(&world, &pods).total(Measure::Requests), 2);
    world.envoy.worker(0).kill();
    assert_eq!(Tallied::of(&world, &pods).total(Measure::Requests), 2, "of a dead worker too");
}
