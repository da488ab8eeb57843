//! The endpoint that a response came from: where Envoy adds it to the headers it is read there, and Envoy is
//! not asked.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use host_mock::Stream;
use serde_json::json;

use super::{
    push::Pod,
    world::{Way, World, about},
};

/// Two pods, and a stream that was sent to one of them; with the addresses of that one and the other.
fn sent(keys: &serde_json::Value) -> (World, Stream, [String; 2]) {
    let world = World::with(Way::STOP_ITERATION_HEADER, keys);
    world.pods(&Pod::idles(2));
    let stream = world.chat(0, &about("rivers"));
    let [first, other] = if world.pod(&stream).number == 1 { [1, 2] } else { [2, 1] };
    (world, stream, [first, other].map(|number: u8| format!("10.0.0.{number}:8000")))
}

/// Responds from `server` with these headers. Returns the number of calls of the host that it takes.
fn calls(world: &World, stream: &Stream, server: &str, headers: &[(&str, &str)]) -> u64 {
    let stream_headers = [&[("content-type", "text/event-stream")], headers].concat();
    stream.upstream_address(server);
    let before = world.envoy.crossings().calls;
    stream.respond_headers(200, &*stream_headers);
    world.envoy.crossings().calls - before
}

#[test]
fn the_header_that_envoy_adds_is_read_and_nothing_is_asked() {
    let told = json!({"envoy": {"servedByHeader": "X-Served-By"}});
    let (world, stream, [first, other]) = sent(&told);
    // What the pod said itself stands in front of what Envoy added.
    let named = [("x-served-by", &*first), ("x-served-by", &*other)];
    let read = calls(&world, &stream, &other, &named);
    assert_eq!((world.in_flight(&first).0, world.in_flight(&other).0), (0, 1));
    world.is_well();
    let (world, stream, [_, other]) = sent(&json!({}));
    let asked = calls(&world, &stream, &other, &named);
    assert_eq!(asked, read + 1);
    world.is_well();
}

#[test]
fn envoy_is_asked_where_the_header_tells_nothing() {
    let told = json!({"envoy": {"servedByHeader": "x-served-by"}});
    for headers in [&[][..], &[("x-served-by", "-")], &[("x-other", "10.0.0.7:1")]] {
        let (world, stream, [first, other]) = sent(&told);
        calls(&world, &stream, &other, headers);
        let counted = [&first, &other].map(|endpoint| world.in_flight(endpoint).0);
        assert_eq!(counted, [0, 1], "{headers:?}");
        world.is_well();
    }
}

/// A pod may say what it likes: only a header that the configuration names is Envoy's.
#[test]
fn without_the_setting_no_header_is_believed() {
    let (world, stream, [first, other]) = sent(&json!({}));
    calls(&world, &stream, &first, &[("x-served-by", &other)]);
    assert_eq!([&first, &other].map(|endpoint| world.in_flight(endpoint).0), [1, 0]);
    world.is_well();
}

/// The first of the list failed, and Envoy went to the other.
#[test]
fn a_load_report_is_of_the_endpoint_that_answered() {
    for in_trailers in [false, true] {
        let world = World::new();
        world.pods(&[
            Pod { kv_usage: Some(0.1), ..Pod::idle(1) },
            Pod { kv_usage: Some(0.2), ..Pod::idle(2) },
        ]);
        let report = "TEXT num_requests_waiting=7, kv_cache_usage_perc=0.9";
        let report = [("endpoint-load-metrics", report)];
        let stream = world.chat(0, "one");
        assert_eq!(world.pod(&stream).number, 1);
        stream.upstream_address("10.0.0.2:8000");
        stream.respond_headers(200, if in_trailers { &[][..] } else { &report });
        stream.respond_chunk(b"{}");
        stream.respond_trailers(if in_trailers { &report[..] } else { &[] });
        assert_eq!(world.pod(&world.chat(0, "two")).number, 1, "in trailers: {in_trailers}");
        world.is_well();
    }
}
