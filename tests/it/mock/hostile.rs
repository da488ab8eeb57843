//! What only an attacker, a broken client or a stranger in the same VM does.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use wire::layout::key;

use super::{
    push::Pod,
    world::{CHAT, WORKERS, Way, World, about, chat_body},
};

const NONE: &[(&str, &str)] = &[];

/// The SDK's text getters die of the first such byte.
#[test]
fn headers_need_not_be_text() {
    let world = World::new();
    world.pods(&[Pod::idle(1)]);
    let raw: &[(&str, &[u8])] = &[
        ("x-llm-d-inference-objective", b"\xff\xfe"),
        ("x-llm-d-inference-fairness-id", b"\x80"),
        ("content-type", b"\xc3"),
        ("x-gateway-destination-endpoint", b"\xff"),
        ("x-any", b"\xf0\x9f"),
    ];
    for worker in 0..WORKERS {
        let stream = world.chat_with(worker, raw, "hello");
        assert_eq!(world.pod(&stream).number, 1);
        stream.respond(200, &[("x-pod", b"\xff".as_slice())], b"{}");
        assert_eq!(stream.status(), Some(200));
    }
    let paths: [&[u8]; 3] = [b"/v1/\xff", b"/\x80/completions", b""];
    for path in paths {
        let headers: &[(&str, &[u8])] =
            &[(":method", b"PO\xffT"), (":path", path), (":authority", b"\xfe")];
        let stream = world.envoy.worker(0).request(headers);
        stream.last_chunk(&chat_body("hello"));
        let answered = stream.sent().is_some() || stream.status().is_some();
        assert!(answered, "{path:?} is held");
    }
    world.is_well();
}

#[test]
fn pseudo_headers_may_be_missing_or_there_twice() {
    let world = World::new();
    world.pods(&[Pod::idle(1)]);
    let twice = [(":method", "POST"), (":path", "/"), (":path", CHAT), (":method", "GET")];
    let stream = world.envoy.worker(0).request(&twice);
    stream.last_chunk(&chat_body("hello"));
    assert_eq!(world.pod(&stream).number, 1);
    let stream = world.envoy.worker(1).request(NONE);
    stream.end();
    assert_eq!(world.pod(&stream).number, 1);
    let ingest = world.envoy.worker(1).through("ingest").unwrap().request(NONE);
    assert_eq!(ingest.status(), Some(405));
    world.is_well();
}

#[test]
fn headers_may_be_as_large_as_envoy_lets_them() {
    let world = World::new();
    world.pods(&[Pod::idle(1)]);
    let value = "v".repeat(64 << 10);
    let large: &[(&str, &str)] = &[("x-large", &value), ("x-llm-d-inference-objective", &value)];
    let stream = world.chat_with(0, large, "hello");
    assert_eq!(world.pod(&stream).number, 1);
    assert_eq!(stream.sent().unwrap().headers.text("x-large"), Some(value.as_str()));
    let many: Vec<(String, &str)> = (0..5000).map(|n| (format!("x-{n}"), "1")).collect();
    assert_eq!(world.pod(&world.chat_with(1, many.as_slice(), "hello")).number, 1);
    world.is_well();
}

#[test]
fn a_prompt_of_four_megabytes_is_placed_and_found_again() {
    let world = World::new();
    world.pods(&Pod::idles(8));
    let prompt = "to be or not \\ to be\n".repeat(200_000);
    let home = world.pod(&world.chat(0, &prompt));
    let stream = world.chat(3, &prompt);
    assert_eq!(world.pod(&stream), home);
    let longer = world.chat(2, &format!("{prompt} and then?"));
    assert_eq!(world.pod(&longer), home);
    assert!(World::decision(&longer).contains("prefix-hit=1.00"));
    world.is_well();
}

/// With a WasmPlugin the vm_id, and so shared data, is shared with strangers.
#[test]
fn a_board_that_a_stranger_wrote_on_misleads_but_does_not_kill() {
    let garbage: [&[u8]; 6] = [b"", b"\xff", &[0; 15], &[0xff; 16], &[0xff; 24], &[7; 5000]];
    for name in ["ledger", "workers", "queues", "pull", "snapshot", "note/0", "note/1"] {
        for value in garbage {
            let world = World::new();
            world.pods(&[Pod::idle(1)]);
            world.chat(0, &about("rivers"));
            world.envoy.set_shared_data(&key("default", name), value);
            for worker in 0..WORKERS {
                let stream = world.chat(worker, &about("rivers"));
                assert!(
                    stream.sent().is_some() || stream.status() == Some(503),
                    "{name} {value:?}"
                );
                assert!(world.envoy.worker(worker).alive(), "{name} {value:?}");
            }
        }
    }
}

/// Whoever can write to shared data can lower the counts. The workers must find together again.
#[test]
fn a_board_that_was_wiped_is_used_again() {
    let world = World::new();
    world.pods(&Pod::idles(8));
    for n in 0..8 {
        world.chat(n % WORKERS, &about(&format!("subject {n}")));
    }
    world.envoy.set_shared_data(&key("default", "ledger"), b"");
    world.pods(&Pod::idles(8));
    let home = world.pod(&world.chat(0, &about("rivers")));
    for worker in 0..WORKERS {
        assert_eq!(world.pod(&world.chat(worker, &about("rivers"))), home, "worker {worker}");
    }
    world.is_well();
}

/// A body of 160 bytes may call its image as large as 32 bits go, and headers a film as long.
#[test]
fn claims_of_size_count_up_to_what_models_take() {
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\xff\xff\xff\xff\xff\xff\xff";
    let image = format!("data:image/png;base64,{}", STANDARD.encode(png));
    let film = json!({"type": "video_url", "video_url": "https://example.com/film"});
    let trusted = ["duration-seconds", "fps", "resolution"].map(|of| format!("x-llm-d-video-{of}"));
    let tokens = |headers: &[(&str, &str)], part: &Value| {
        // What a client says of films is removed unless a filter in front is trusted with it.
        let keys = json!({"identity": {"trusted": trusted}});
        let world = World::with(Way::STOP_ITERATION_HEADER, &keys);
        world.pods(&[Pod::idle(1)]);
        let message = json!({"role": "user", "content": [part]});
        let body = json!({"model": "tiny", "max_tokens": u64::MAX, "messages": [message]});
        let body = body.to_string();
        let stream = world.envoy.worker(0).post(CHAT, headers, body.as_bytes());
        assert_eq!(world.pod(&stream).number, 1);
        let (_, tokens) = world.in_flight("10.0.0.1:8000");
        stream.respond(200, NONE, b"{}");
        world.is_well();
        tokens
    };
    let block = 64;
    let image = json!({"type": "image_url", "image_url": {"url": image}});
    assert!((16_384..=16_384 + block).contains(&tokens(NONE, &image)));
    let sound = json!({"type": "audio_url", "audio_url": "x".repeat(1 << 20)});
    assert!((32_768..=32_768 + block).contains(&tokens(NONE, &sound)));
    let usual = tokens(NONE, &film);
    for (seconds, fps, size, most) in [
        ("10", "2", "640x360", usual),
        ("NaN", "-1", "0x0x0", usual),
        ("18446744073709551615", "1e308", "4294967295x4294967295", 131_072 + block),
        ("inf", "inf", "4294967296x1", 131_072 + block),
        ("1e308", "0", "1x1", block),
    ] {
        let headers = [
            ("x-llm-d-video-duration-seconds", seconds),
            ("x-llm-d-video-fps", fps),
            ("x-llm-d-video-resolution", size),
            ("x-llm-d-slo-ttft-ms", "18446744073709551615"),
            ("x-llm-d-slo-tpot-ms", "18446744073709551615"),
            ("x-llm-d-inference-ttl", "2562047h47m16s"),
        ];
        let claimed = tokens(&headers, &film);
        assert!(claimed <= most, "{seconds} s, {fps}/s, {size}: {claimed} tokens");
    }
}
