//! What bodies pin in a worker, and answers that wait for the end of one.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use std::time::Duration;

use host_mock::{Metric, Stream};
use serde_json::{Value, json};

use super::{
    flow::world::gated,
    push::Pod,
    world::{CHAT, Way, World},
};

const NONE: &[(&str, &str)] = &[];

/// A request that is placed before its body: nothing of that is read.
const UPLOAD: &str = "/v1/audio/transcriptions";

/// Longer than a tick.
const SOON: Duration = Duration::from_millis(60);

const MIB: usize = 1 << 20;

/// Status and reason of an answer.
fn told(stream: &Stream) -> Option<(u16, String)> {
    let response = stream.response()?;
    let reason = response.headers.text("x-llm-picker-reason").unwrap_or_default().to_owned();
    Some((response.status, reason))
}

fn upload(world: &World, worker: usize, more: &[(&str, &str)]) -> Stream {
    let headers = [&[("content-type", "audio/wav")], more].concat();
    world.envoy.worker(worker).post_headers(UPLOAD, &headers[..])
}

fn open_bytes(world: &World) -> u64 {
    match world.envoy.metric("llm_picker_envoy_body_bytes") {
        Some(Metric::Gauge(bytes)) => bytes,
        other => panic!("no gauge: {other:?}"),
    }
}

#[test]
fn an_answer_that_is_known_early_waits_for_the_body() {
    for way in Way::ALL {
        let world = World::with(way, &json!({"envoy": {"maxBodyBytes": 1000}}));
        // Empty: what needs a pod is refused at its headers.
        world.pods(&[]);
        for (path, expected) in [
            (UPLOAD, (503, "no-endpoints")),
            ("/v1/load_lora_adapter", (403, "control-call")),
            (CHAT, (413, "too-large")),
        ] {
            let expected = Some((expected.0, expected.1.to_owned()));
            for has_trailers in [false, true] {
                let headers = [("content-type", "audio/wav"), ("content-length", "3000")];
                let stream = world.envoy.worker(1).post_headers(path, &headers[..]);
                (0..3).for_each(|_| stream.chunk(&[b' '; 1000]));
                assert_eq!(told(&stream), None, "{way} {path}");
                if has_trailers {
                    stream.trailers(&[("x-end", "1")]);
                } else {
                    stream.end();
                }
                assert_eq!(told(&stream), expected, "{way} {path}");
                assert_eq!(stream.sent(), None, "{way} {path}");
            }
        }
        world.is_well();
    }
}

#[test]
fn an_answer_waits_for_no_connection_that_is_upgraded() {
    let world = World::new();
    world.pods(&[]);
    let headers = [(":method", "GET"), ("connection", "Upgrade"), ("upgrade", "websocket")];
    let socket = world.envoy.worker(0).post_headers("/v1/realtime", &headers[..]);
    assert_eq!(socket.status(), Some(503));
    world.is_well();
}

#[test]
fn an_answer_waits_neither_for_ever_nor_for_any_number_of_bytes() {
    for way in Way::ALL {
        let world = World::with(way, &json!({"envoy": {"maxBodyBytes": 1000}}));
        world.pods(&[Pod::idle(1)]);
        let stands = world.envoy.worker(0).post_headers(CHAT, &[("content-length", "2000")]);
        stands.chunk(&[b' '; 1001]);
        world.envoy.run_for(Duration::from_secs(9));
        assert_eq!(told(&stands), None, "{way}");
        world.envoy.run_for(Duration::from_secs(3));
        assert_eq!(told(&stands), Some((413, "too-large".to_owned())), "{way}");
        let claims = world.envoy.worker(0).post_headers(CHAT, &[("content-length", "268435457")]);
        assert_eq!(told(&claims), Some((413, "too-large".to_owned())), "{way}");
        let left = world.envoy.worker(0).post_headers(CHAT, &[("content-length", "2000")]);
        left.disconnect();
        world.is_well();
    }
    let world = World::with(Way::STOP_ITERATION_HEADER, &json!({"envoy": {"maxBodyBytes": 1000}}));
    world.pods(&[Pod::idle(1)]);
    let endless = world.envoy.worker(0).post_headers(CHAT, NONE);
    let part = vec![b' '; 32 * MIB];
    (0..8).for_each(|_| endless.chunk(&part));
    assert_eq!(told(&endless), None, "nothing of it is kept");
    endless.chunk(b" ");
    assert_eq!(told(&endless), Some((413, "too-large".to_owned())));
    world.is_well();
}

/// A pool that is full, with what goes on in it.
fn full(flow: &Value) -> (World, Stream) {
    let world = gated(flow);
    world.pods(&[Pod::idle(1)]);
    let running = world.chat(0, "hello");
    assert!(running.sent().is_some());
    (world, running)
}

/// Each claims 32 MiB, which Envoy takes while they wait.
#[test]
fn waiting_requests_pin_no_more_than_the_limit() {
    let (world, running) = full(&json!({}));
    let claim = |objective: &str| {
        let more = [("content-length", "99999999"), ("x-llm-d-inference-objective", objective)];
        upload(&world, 1, &more)
    };
    let low: Vec<Stream> = (0..4).map(|_| claim("low")).collect();
    let high: Vec<Stream> = (0..4).map(|_| claim("high")).collect();
    world.envoy.run_for(SOON);
    assert!(low.iter().chain(&high).all(|it| told(it).is_none()), "256 MiB");
    let last = claim("high");
    world.envoy.run_for(SOON);
    let displaced = Some((429, "bodies-crowded".to_owned()));
    assert_eq!(told(&low[3]), displaced, "the newest of the lowest priority");
    let dropped = low[3].response().unwrap();
    let dropped = dropped.headers.text("x-llm-d-request-dropped-reason");
    assert_eq!(dropped, Some("evicted-queue-pressure"));
    assert!(low[..3].iter().chain(&high).chain([&last]).all(|it| told(it).is_none()));
    // Whatever its headers say, a body is not taken beyond what buffers hold; of one that says nothing as much is
    // expected.
    let chunked = upload(&world, 1, &[("x-llm-d-inference-objective", "low")]);
    world.envoy.run_for(SOON);
    assert_eq!(told(&chunked), displaced);
    world.envoy.run_for(Duration::from_secs(1));
    assert_eq!(open_bytes(&world), 256 << 20);
    // Each goes its turn, and gives its bytes back.
    running.respond(200, NONE, b"{}");
    for stream in high.iter().chain([&last]).chain(&low[..3]) {
        world.envoy.run_for(SOON);
        assert!(stream.sent().is_some());
        stream.end();
        stream.respond(200, NONE, b"{}");
    }
    world.envoy.run_for(Duration::from_secs(2));
    assert_eq!(open_bytes(&world), 0);
    world.is_well();
}

#[test]
fn a_body_that_was_read_counts_while_its_request_waits() {
    let (world, running) = full(&json!({}));
    let claims: Vec<Stream> =
        (0..7).map(|_| upload(&world, 2, &[("content-length", "99999999")])).collect();
    let prompt = "a".repeat(30 * MIB);
    let first = world.chat(2, &prompt);
    world.envoy.run_for(SOON);
    assert_eq!(told(&first), None, "254 MiB");
    let second = world.chat(2, &prompt);
    world.envoy.run_for(SOON);
    // Those that claim the most make room, before any of it was sent, and not the prompt that came last.
    let displaced = Some((429, "bodies-crowded".to_owned()));
    assert_eq!([&claims[6], &first, &second].map(told), [displaced.clone(), None, None]);
    claims[0].disconnect();
    let third = world.chat(2, &prompt);
    world.envoy.run_for(SOON);
    assert_eq!([&claims[5], &third].map(told), [None, None], "room again");
    let fourth = world.chat(2, &prompt);
    world.envoy.run_for(SOON);
    assert_eq!([&claims[5], &fourth].map(told), [displaced, None]);
    running.respond(200, NONE, b"{}");
    world.is_well();
}

#[test]
fn where_the_picker_looks_on_bodies_pin_no_more_than_the_limit() {
    let world = World::with(Way::STOP_ITERATION_HEADER, &json!({"mode": "observe"}));
    world.pods(&[Pod::idle(1)]);
    let begin = || {
        let stream = world.envoy.worker(0).post_headers(CHAT, NONE);
        stream.chunk(&vec![b' '; 30 * MIB]);
        stream
    };
    let stand: Vec<Stream> = (0..8).map(|_| begin()).collect();
    // However long they stand, they are pinned, and count.
    for _ in 0..2 {
        world.envoy.run_for(Duration::from_secs(15));
        let next = begin();
        assert!(next.sent().is_some(), "beyond the limit it goes on unread");
        next.chunk(b"{}");
        next.end();
        assert_eq!(next.sent().unwrap().body.len(), 30 * MIB + 2);
        next.respond(200, NONE, b"{}");
    }
    assert!(stand.iter().all(|it| it.sent().is_none() && it.status().is_none()));
    assert_eq!(open_bytes(&world), (8 * 30 * MIB) as u64);
    stand[0].disconnect();
    let next = begin();
    assert!(next.sent().is_none(), "room again");
    // And those that stood go on once and whole.
    stand[1].last_chunk(br#"{"model":"tiny","messages":[{"role":"user","content":"hi"}]}"#);
    assert_eq!(stand[1].sent().unwrap().body.len(), 30 * MIB + 60);
    world.is_well();
}

/// A body that is only claimed takes the sum over the limit, and its end takes it back: however often a client does
/// that, the worker shows that it lives.
#[test]
fn who_crosses_the_limit_again_and_again_puts_no_tick_off() {
    let (world, _running) = full(&json!({}));
    let claim = || upload(&world, 1, &[("content-length", "99999999")]);
    let _kept: Vec<Stream> = (0..8).map(|_| claim()).collect();
    for _ in 0..800 {
        let ninth = claim();
        world.envoy.run_for(Duration::from_millis(10));
        ninth.disconnect();
    }
    let logs = world.envoy.logs();
    assert!(!logs.iter().any(|line| line.message.contains("no sign of life")), "{logs:#?}");
    world.is_well();
}
