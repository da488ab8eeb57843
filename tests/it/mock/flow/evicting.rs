//! Requests that end while they run, as a more important one finds no room.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use host_mock::Plugin;
use serde_json::{Value, json};
use wire::tally::{ErrorCode, Measure};

use super::{
    script::{Script, tell},
    world::{counts, gated, gated_by, objectives, plugins_with},
};
use crate::mock::{
    push::Pod,
    tallied::Tallied,
    world::{Way, World},
};

/// Plays lines of which nothing is compared.
fn play(script: &mut Script<'_>, lines: &[&str]) {
    for line in lines {
        script.play(line);
    }
}

fn evicting() -> Value {
    json!({"enableEviction": true})
}

/// An event of a stream with content.
const EVENT: &[u8] = b"data: {\"choices\":[{\"delta\":{\"content\":\"word\"}}]}\n\n";

#[test]
fn the_newest_of_the_lowest_band_makes_way() {
    let world = gated(&evicting());
    tell(
        &world,
        "
        3 pods
        0 asks a b as batch => a goes, b goes
        1 asks c as batch => c goes
        2 asks d as high => c evicted, d goes
        count => (0, 0, 3)
        3 asks e as low
        20 ms pass => b evicted, e goes
        3 asks f as batch
        5 s pass
        count => (1, 0, 3)
        ",
    );
    world.is_well();
}

#[test]
fn its_client_is_told_so_and_it_counts_as_an_error() {
    let world = gated(&evicting());
    let mut script = Script::new(&world);
    play(&mut script, &["1 pods", "0 asks a as batch", "1 asks b as high"]);
    let response = script.stream("a").response().unwrap();
    let reason = response.headers.text("x-llm-picker-reason").unwrap();
    insta::assert_snapshot!(
        format!("{} {reason} {}", response.status, response.text()),
        @r#"429 evicted {"error":{"message":"request evicted by flow control","type":"rate_limit_error","code":429}}"#
    );
    let told = Tallied::of(&world, &[Pod::idle(1)]);
    let count = |measure| told.total(measure);
    assert_eq!(
        (count(Measure::Evicted), count(Measure::Errors(ErrorCode::ResourceExhausted))),
        (1, 1)
    );
    world.is_well();
}

/// What has begun can only be cut off, and what was read of it is charged.
#[test]
fn a_stream_that_has_begun_is_cut_off() {
    let world = gated(&evicting());
    let mut script = Script::new(&world);
    play(&mut script, &["1 pods", "0 asks a as batch"]);
    let stream = script.stream("a");
    stream.respond_headers(200, &[("content-type", "text/event-stream")][..]);
    stream.respond_chunk(EVENT);
    assert_eq!(script.play("1 asks b as high"), "b goes");
    assert!(script.stream("a").is_over());
    assert_eq!(script.stream("a").details().as_deref(), Some("wasm_close_stream"));
    assert_eq!(counts(&world), (0, 0, 1));
    let told = Tallied::of(&world, &[Pod::idle(1)]);
    assert_eq!(told.total(Measure::Errors(ErrorCode::ResourceExhausted)), 1);
    assert_eq!(told.total(Measure::EndpointErrors), 0, "no endpoint is to blame");
    world.is_well();
}

/// A client may leave at the moment at which its request is chosen, and a request may end by itself.
#[test]
fn one_that_ends_meanwhile_is_no_loss() {
    for end in ["a leaves", "a ends"] {
        let world = gated(&evicting());
        let mut script = Script::new(&world);
        play(&mut script, &["1 pods", "0 asks a as batch", "nobody hears", "1 asks b as high"]);
        script.play(end);
        script.play("all hear");
        script.play("20 ms pass");
        assert_eq!(counts(&world), (0, 0, 1), "{end}");
        script.play("b ends");
        assert_eq!(counts(&world), (0, 0, 0), "{end}");
        world.is_well();
    }
}

/// Pages show the room of an eviction only later, so the next one waits.
#[test]
fn where_pages_say_what_is_full_evictions_are_far_between() {
    let parameters = json!({"queueDepthThreshold": 4, "metricsStalenessThreshold": "1h"});
    let detector = json!({"type": "utilization-detector", "parameters": parameters});
    let world = gated_by(&detector, &[], &evicting());
    let mut script = Script::new(&world);
    play(&mut script, &["1 pods", "0 asks a b c d as batch"]);
    world.pods(&[Pod { waiting: 8, running: 4, ..Pod::idle(1) }]);
    script.play("1 asks e as high");
    let evicted = || {
        Tallied::of(&world, &[Pod { waiting: 8, running: 4, ..Pod::idle(1) }])
            .total(Measure::Evicted)
    };
    assert_eq!(evicted(), 2, "after a second");
    script.play("2 s pass");
    assert_eq!(evicted(), 4);
    world.is_well();
}

/// Who only looked on is now steering: what went out before is no one's to end.
#[test]
fn what_was_only_looked_on_is_not_evicted() {
    let detector = json!({"type": "concurrency-detector", "parameters": {"maxConcurrency": 1}});
    let config = |mode: &str| {
        json!({
            "mode": mode,
            "featureGates": ["flowControl"],
            "plugins": plugins_with(&detector, &[]),
            "flowControl": {
                "saturationDetector": {"pluginRef": "concurrency-detector"}, "enableEviction": true,
            },
            "objectives": objectives(),
        })
    };
    let world = World::with(Way::STOP_ITERATION_HEADER, &config("observe"));
    let mut script = Script::new(&world);
    play(&mut script, &["1 pods", "0 asks a as batch"]);
    let steering = Plugin::new("picker", config("steer").to_string());
    world.envoy.reconfigure(steering.allow_on_headers_stop_iteration(true)).unwrap();
    assert_eq!(script.play("1 asks b as high"), "");
    assert_eq!(script.play("20 ms pass"), "");
    assert_eq!(script.play("a ends"), "b goes");
    assert_eq!(counts(&world), (0, 0, 1));
    world.is_well();
}
