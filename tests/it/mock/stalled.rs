//! Bodies that stop on their way in.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use host_mock::Stream;

use super::{
    push::Pod,
    world::{CHAT, WORKERS, Way, World},
};

/// Begins an upload of which so many bytes come.
fn begin(world: &World, worker: usize, bytes: usize) -> Stream {
    let length = [("content-length", (bytes + 1000).to_string())];
    let stream = world.envoy.worker(worker).post_headers(CHAT, &length);
    stream.chunk(&vec![b' '; bytes]);
    stream
}

#[test]
fn an_upload_that_stands_still_is_given_up() {
    for way in Way::ALL {
        let world = World::with(way, &serde_json::json!({}));
        world.pods(&[Pod::idle(1)]);
        for worker in 0..WORKERS {
            let stands = begin(&world, worker, 1000);
            let moves = begin(&world, worker, 1000);
            for _ in 0..4 {
                world.envoy.run_for(Duration::from_secs(4));
                moves.chunk(&[b' '; 1_024]);
            }
            assert_eq!(stands.status(), Some(408), "{way:?}");
            let told = stands.response().unwrap().text();
            assert!(told.contains("the request body stood still for 10 s"), "{way:?}: {told}");
            assert_eq!(moves.status(), None, "{way:?}");
            moves.last_chunk(br#"{"model":"tiny","messages":[{"role":"user","content":"hi"}]}"#);
            assert!(moves.sent().is_some(), "{way:?}");
            moves.respond(200, (), b"{}");
            // A body that is whole, and one whose client left, stand still for good.
            let left = begin(&world, worker, 1000);
            left.disconnect();
            let served = world.chat(worker, "hello");
            world.envoy.run_for(Duration::from_secs(60));
            assert!(served.sent().is_some() && served.status().is_none(), "{way:?}");
            served.respond(200, (), b"{}");
        }
        world.is_well();
    }
}

/// Each worker pins 256 MiB of bodies that are not whole, and no more for longer than a few ticks.
#[test]
fn uploads_pin_no_more_than_the_limit() {
    let world = World::new();
    world.pods(&[Pod::idle(1)]);
    let uploads: Vec<Stream> = (0..40).map(|_| begin(&world, 0, 8_000_000)).collect();
    world.envoy.run_for(Duration::from_millis(200));
    let open = uploads.iter().filter(|stream| stream.status().is_none()).count();
    assert!((30..=33).contains(&open), "{open} of 8 MB are open");
    let given_up = uploads.iter().filter_map(Stream::status);
    assert!(given_up.clone().all(|status| status == 503), "{:?}", given_up.collect::<Vec<_>>());
    // Others are served meanwhile.
    let served = world.chat(0, "hello");
    assert!(served.sent().is_some());
    served.respond(200, (), b"{}");
    world.envoy.run_for(Duration::from_secs(12));
    assert!(uploads.iter().all(|stream| stream.status().is_some()));
    world.is_well();
}
