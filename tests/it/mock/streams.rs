//! Streams by their first content: what comes before it begins nothing, and what fails before it is a
//! failure of the endpoint.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic, and says where it was"
)]

use std::time::Duration;

use host_mock::Stream;
use serde_json::json;
use wire::tally::{ErrorCode, Measure};

use super::{
    push::Pod,
    tallied::Tallied,
    world::{CHAT, World, about},
};

const EVENTS: &[(&str, &str)] = &[("content-type", "text/event-stream")];
const LINES: &[(&str, &str)] = &[("content-type", "application/x-ndjson")];
const ZIPPED: &[(&str, &str)] =
    &[("content-type", "text/event-stream"), ("content-encoding", "gzip")];

const ROLE: &str =
    "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
const WORD: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"word\"}}]}\n\n";
const ERROR: &str = "data: {\"error\":{\"message\":\"EngineCore died\",\"code\":503}}\n\n";

/// A stream of one API: its headers, what comes before the first content, and that.
struct Way {
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    before: &'static [&'static str],
    first: &'static str,
}

const WAYS: [Way; 6] = [
    Way { path: CHAT, headers: EVENTS, before: &[": keep-alive\n\n", ROLE], first: WORD },
    Way {
        path: CHAT,
        headers: EVENTS,
        before: &[":\r\r", "data: {\"choices\":[{\"delta\":{\"content\":\"\"}}]}\r\r"],
        first: "data: {\"choices\":[{\"delta\":{\"reasoning\":\"so\"}}]}\r\r",
    },
    Way {
        path: "/v1/responses",
        headers: EVENTS,
        before: &[
            "event: response.created\ndata: {\"type\":\"response.created\"}\n\n",
            "event: response.in_progress\ndata: {\"type\":\"response.in_progress\"}\n\n",
        ],
        first: "event: response.output_text.delta\ndata: {\"delta\":\"x\",\"type\":\"response.output_text.delta\"}\n\n",
    },
    Way {
        path: "/v1/messages",
        headers: EVENTS,
        before: &[
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"content\":[]}}\n\n",
            "event: ping\ndata: {\"type\": \"ping\"}\n\n",
        ],
        first: "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"x\"}}\n\n",
    },
    Way {
        path: CHAT,
        headers: LINES,
        before: &["{\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":false}\n"],
        first: "{\"message\":{\"role\":\"assistant\",\"content\":\"x\"},\"done\":false}\n",
    },
    // Of a compressed stream, all behind the encoding's own header counts.
    Way {
        path: CHAT,
        headers: ZIPPED,
        before: &["\x1f\u{8}\0\0\0\0\0\0\0\u{3}"],
        first: "0123456789",
    },
];

fn post(world: &World, path: &str, prompt: &str) -> Stream {
    let message = json!([{"role": "user", "content": prompt}]);
    let body = json!({"model": "tiny", "max_tokens": 9, "messages": message, "input": message});
    world.envoy.worker(0).post(path, (), body.to_string().as_bytes())
}

fn tokens(world: &World) -> u32 {
    world.in_flight("10.0.0.1:8000").1
}

#[test]
fn a_prompt_is_being_computed_until_its_first_content() {
    for Way { path, headers, before, first } in WAYS {
        let world = World::new();
        world.pods(&[Pod::idle(1)]);
        let stream = post(&world, path, &about("rivers"));
        let all = tokens(&world);
        assert!(all > 500, "{path}: {all}");
        stream.respond_headers(200, headers);
        assert_eq!(tokens(&world), all, "{path}: headers compute nothing");
        for event in before {
            stream.respond_chunk(event.as_bytes());
            assert_eq!(tokens(&world), all, "{path}: {event}");
        }
        // Cut in the middle, the content is not there yet, but for what nothing can be read of.
        let (head, rest) = first.split_at(first.len() - 1);
        stream.respond_chunk(head.as_bytes());
        stream.respond_chunk(rest.as_bytes());
        assert_eq!(world.in_flight("10.0.0.1:8000"), (1, 0), "{path}: {first}");
        stream.respond_end();
        assert_eq!(world.in_flight("10.0.0.1:8000"), (0, 0), "{path}");
        world.is_well();
    }
}

/// A whole answer is told by its end, however early its headers and its first bytes are.
#[test]
fn a_whole_answer_is_told_by_its_end() {
    for headers in
        [&[("content-type", "application/json")][..], &[("content-length", "40")], EVENTS]
    {
        let world = World::new();
        world.pods(&[Pod::idle(1)]);
        let stream = post(&world, CHAT, &about("rivers"));
        let all = tokens(&world);
        stream.respond_headers(200, headers);
        stream.respond_chunk(b"{\"choices\":[{\"message\":");
        assert_eq!(tokens(&world), all, "{headers:?}");
        stream.respond_chunk(b"{\"content\":\"\"}}]}");
        stream.respond_end();
        assert_eq!(world.in_flight("10.0.0.1:8000"), (0, 0), "{headers:?}");
        world.is_well();
    }
}

/// Real servers send headers at once: a prompt of 400 kB is computed for seconds behind them.
#[test]
fn short_requests_go_elsewhere_while_a_long_prompt_computes() {
    let world = World::new();
    world.pods(&Pod::idles(3));
    let long = post(&world, CHAT, &"a long tale ".repeat(34_000));
    let busy = world.pod(&long).number;
    long.respond_headers(200, EVENTS);
    long.respond_chunk(b": keep-alive\n\n");
    let short: Vec<Stream> = (0..16).map(|n| world.chat(n % 4, &format!("number {n}"))).collect();
    let beside = short.iter().filter(|stream| world.pod(stream).number == busy).count();
    assert_eq!(beside, 0, "of 16 short requests");
    long.respond_chunk(WORD.as_bytes());
    assert_eq!(world.in_flight(&format!("10.0.0.{busy}:8000")).1, 0);
    world.is_well();
}

/// The sum of all times to a first token of streams, in microseconds.
fn ttft(world: &World) -> u64 {
    Tallied::of(world, &[]).total(Measure::Ttft { streaming: true })
}

#[test]
fn the_time_to_the_first_token_is_that_of_the_first_content() {
    for Way { path, headers, before, first } in WAYS {
        let world = World::new();
        world.pods(&[Pod::idle(1)]);
        let stream = post(&world, path, "hello");
        stream.respond_headers(200, headers);
        for event in before {
            stream.respond_chunk(event.as_bytes());
        }
        world.envoy.run_for(Duration::from_millis(1_000));
        stream.respond_chunk(first.as_bytes());
        // Without `[DONE]`, and with trailers behind the body.
        stream.respond_trailers(&[("x", "y")]);
        assert_eq!(ttft(&world), 1_000_000, "{path}");
        world.is_well();
    }
}

/// Fails three requests. Returns the pod of the fourth.
fn fourth_pod(fail: impl Fn(&Stream)) -> u8 {
    let world = World::new();
    let busier = Pod { kv_usage: Some(0.2), ..Pod::idle(2) };
    world.pods(&[Pod::idle(1), busier]);
    for (worker, topic) in ["rivers", "stars", "hills"].iter().enumerate() {
        let stream = world.chat(worker, &about(topic));
        assert_eq!(world.pod(&stream).number, 1);
        fail(&stream);
    }
    let number = world.pod(&world.chat(3, &about("clouds"))).number;
    world.is_well();
    number
}

#[test]
fn a_failure_before_the_first_content_is_the_endpoints() {
    let streams = |parts: &'static [&'static str]| {
        move |stream: &Stream| {
            stream.respond_headers(200, EVENTS);
            parts.iter().for_each(|part| stream.respond_chunk(part.as_bytes()));
        }
    };
    for before in [&[][..], &[": keep-alive\n\n"], &[ROLE], &[ROLE, WORD]] {
        let broken = streams(before);
        let number = fourth_pod(|stream| {
            broken(stream);
            stream.upstream_resets();
        });
        assert_eq!(number, 2, "broken off behind {before:?}");
        let number = fourth_pod(|stream| {
            broken(stream);
            stream.respond_chunk(ERROR.as_bytes());
            stream.respond_end();
        });
        assert_eq!(number, 2, "an error behind {before:?}");
        let number = fourth_pod(|stream| {
            broken(stream);
            stream.respond_chunk(ERROR.replace("503", "400").as_bytes());
            stream.respond_end();
        });
        assert_eq!(number, 1, "the requests' own error behind {before:?}");
    }
    let whole = |body: &'static [u8]| {
        fourth_pod(move |stream| {
            stream.respond(200, &[("content-type", "application/json")], body);
        })
    };
    assert_eq!(whole(b"{\"error\":{\"code\":503}}"), 2, "an error with a status of 200");
    assert_eq!(
        whole(b"{\"error\":\"it died\"}"),
        1,
        "which one client alone may have brought about"
    );
    assert_eq!(whole(b"{\"error\":{\"code\":404}}"), 1);
    assert_eq!(whole(b"{\"error\":null}"), 1);
}

/// The pool believes a prompt to be where it was computed: not where a stream failed before content.
#[test]
fn a_stream_that_failed_before_its_content_leaves_no_prefix() {
    for (end, is_kept) in [(WORD, true), (ERROR, false)] {
        let world = World::new();
        world.pods(&Pod::idles(2));
        let stream = post(&world, CHAT, &about("rivers"));
        stream.respond_headers(200, EVENTS);
        stream.respond_chunk(ROLE.as_bytes());
        stream.respond_chunk(end.as_bytes());
        stream.respond_end();
        let decision = World::decision(&post(&world, CHAT, &about("rivers")));
        assert_eq!(!decision.contains("prefix-hit=0.00"), is_kept, "{end}: {decision}");
        world.is_well();
    }
}

/// Envoy's retry takes the request along at once, and a failure there blames no endpoint.
#[test]
fn a_stream_from_another_endpoint_counts_there_before_its_content() {
    let world = World::new();
    world.pods(&Pod::idles(2));
    let stream = post(&world, CHAT, &about("rivers"));
    let [first, other] = if world.pod(&stream).number == 1 { [1, 2] } else { [2, 1] };
    let [first, other] = [first, other].map(|number| format!("10.0.0.{number}:8000"));
    let all = world.in_flight(&first);
    stream.upstream_address(&other);
    stream.respond_headers(200, EVENTS);
    assert_eq!((world.in_flight(&first), world.in_flight(&other)), ((0, 0), all));
    stream.respond_chunk(WORD.as_bytes());
    assert_eq!(world.in_flight(&other), (1, 0));
    stream.respond_end();
    assert_eq!(world.in_flight(&other), (0, 0));
    world.is_well();
}

/// An event whose size tells all that matters is not copied into the VM: it costs its callback and a look at the clock.
/// Usage at the end is found, and so is an error.
#[test]
fn usual_events_pass_unread_and_the_end_is_read() {
    const USAGE: &str =
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":43}}\n\n";
    const STOP: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    let event =
        |text| format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n");
    for (last, tokens) in [(USAGE, 43), (ERROR, 0)] {
        let world = World::new();
        world.pods(&[Pod::idle(1)]);
        let stream = post(&world, CHAT, &about("rivers"));
        stream.respond_headers(200, EVENTS);
        let mut calls = Vec::new();
        for number in 0..40 {
            let before = world.envoy.crossings().calls;
            stream.respond_chunk(event(["a", "to", "tre", "four"][number % 4]).as_bytes());
            calls.push(world.envoy.crossings().calls - before);
        }
        let read = calls.iter().filter(|calls| **calls > 1).count();
        assert!(read <= 10, "{calls:?}: each size once, and the second, fourth, eighth event");
        for part in [STOP, last] {
            stream.respond_chunk(part.as_bytes());
        }
        stream.respond_end();
        let tallied = Tallied::of(&world, &[]);
        assert_eq!(tallied.total(Measure::OutputTokens), tokens, "{last}");
        let errors = Measure::Errors(ErrorCode::ModelServerError);
        assert_eq!(tallied.total(errors), u64::from(tokens == 0), "{last}");
        world.is_well();
    }
}
