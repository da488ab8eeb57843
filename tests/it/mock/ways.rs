//! The ways into Envoy: how the headers are held, and how the choice is handed over.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::json;

use super::{
    push::Pod,
    story::tell,
    world::{CHAT, DESTINATION, WORKERS, Way, World, about, chat_body},
};

const NONE: &[(&str, &str)] = &[];

#[test]
fn every_way_tells_the_same_story() {
    for way in Way::ALL {
        let world = World::with(way, &json!({}));
        tell(
            &world,
            "
            pods 0.0 0.1
            0 asks a about rivers => pod 1
            a gets 200
            pods 0.4 0.0
            1 asks b about rivers => pod 1
            b gets 200
            2 asks c about stars => pod 2
            c gets 503
            pods 0.0 0.4
            3 asks d about stars => pod 1
            pods
            0 asks e about stars => 503
            ",
        );
        world.is_well();
    }
}

/// A client that could name its pod could name any address that Envoy can reach.
#[test]
fn a_clients_own_destination_never_gets_through() {
    let evil: &[(&str, &str)] = &[
        ("X-Gateway-Destination-Endpoint", "169.254.169.254:80"),
        ("x-other", "stays"),
        (DESTINATION, "127.0.0.1:15000"),
        ("X-GATEWAY-DESTINATION-ENDPOINT", ""),
    ];
    for (way, mode) in Way::ALL.into_iter().flat_map(|way| [(way, "FailClose"), (way, "FailOpen")])
    {
        let world = World::with(way, &json!({"failureMode": mode}));
        let mut sent = Vec::new();
        if mode == "FailOpen" {
            sent.extend((0..WORKERS).map(|worker| world.chat_with(worker, evil, "hello")));
            assert!(sent.iter().all(|stream| world.destinations(stream).is_none()));
        }
        world.pods(&[Pod::idle(1)]);
        for worker in 0..WORKERS {
            let worker = world.envoy.worker(worker);
            let known = [
                worker.get("/v1/models", evil),
                worker.post_headers("/v1/audio/transcriptions", evil),
                worker.post_headers("/v1/models", evil),
                worker.post(CHAT, evil, &chat_body("hello")),
            ];
            for stream in &known {
                stream.end();
                assert_eq!(world.pod(stream).number, 1, "{way:?}");
            }
            sent.extend(known);
        }
        for stream in sent {
            let headers = stream.sent().unwrap().headers;
            assert!(headers.get_all(DESTINATION).all(|value| value == b"10.0.0.1:8000"), "{way:?}");
            assert_eq!(headers.text("x-other"), Some("stays"));
        }
        world.is_well();
    }
}

#[test]
fn without_a_snapshot_the_failure_mode_decides() {
    for way in Way::ALL {
        let open = World::with(way, &json!({"failureMode": "FailOpen"}));
        let stream = open.chat(1, &about("rivers"));
        assert_eq!(open.destinations(&stream), None);
        assert!(stream.sent().unwrap().complete, "{way:?}: goes as Envoy balances");
        stream.respond(200, NONE, b"{}");
        let answer = stream.response().unwrap();
        assert_eq!(answer.headers.get("x-llm-picker-decision"), None, "there was no decision");
        open.is_well();

        let closed = World::with(way, &json!({"failureMode": "FailClose"}));
        let stream = closed.chat(1, &about("rivers"));
        assert_eq!((stream.sent(), stream.status()), (None, Some(503)), "{way:?}");
        closed.is_well();
    }
}
