//! Bytes per token: learnt from the usage in answers, told to the scraper, and taken over from it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic, and says where it was")]

use std::time::Duration;

use picker_core::{BytesPerToken, Snapshot, TextMeasure};
use serde_json::json;

use super::{
    push::{Pod, Push},
    report::reply,
    world::World,
};

const POD: &str = "10.0.0.1:8000";
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const EVENTS: &[(&str, &str)] = &[("content-type", "text/event-stream")];

/// A prompt of 8 kB that no other has anything of.
fn prompt(number: usize) -> String {
    format!("{number:03} a line of a long text ").repeat(320)
}

/// A world in which prompt tokens in flight are counted.
fn world() -> World {
    let world = World::with(
        super::world::Way::STOP_ITERATION_HEADER,
        &json!({
            "plugins": [{"type": "token-load-scorer"}],
            "schedulingProfiles": [{"name": "default", "plugins": [{"pluginRef": "token-load-scorer"}]}],
        }),
    );
    world.pods(&Pod::idles(1));
    world
}

/// Tokens in flight on the pod for one prompt more.
fn counted(world: &World, worker: usize, number: usize) -> u32 {
    let before = world.in_flight(POD).1;
    let stream = world.chat(worker, &prompt(number));
    let counted = world.in_flight(POD).1 - before;
    stream.respond(400, (), b"{}");
    counted
}

#[test]
fn the_usage_of_answers_tells_how_many_tokens_a_prompt_has() {
    let told = [
        (JSON, r#"{"choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":1}}"#.to_owned()),
        (
            EVENTS,
            "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n\
             data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1000,\"completion_tokens\":1}}\n\n\
             data: [DONE]\n\n"
                .to_owned(),
        ),
    ];
    for (kind, answer) in told {
        let world = world();
        let first = counted(&world, 0, 0);
        assert!((2_000..2_200).contains(&first), "4 bytes a token: {first}");
        for number in 1..30 {
            world.chat(0, &prompt(number)).respond(200, kind, answer.as_bytes());
        }
        let learnt = counted(&world, 0, 30);
        assert!((990..1_030).contains(&learnt), "as the usage says: {learnt}");

        // The scraper hears of it, and tells workers that were asked for nothing yet.
        world.envoy.run_for(Duration::from_millis(1_100));
        let texts = reply(&world, 1, &Pod::idles(1), None).beliefs.texts;
        let [all, tiny] = &*texts else { panic!("{texts:?}") };
        assert_eq!((&*all.model, &*tiny.model), ("", "tiny"));
        assert!((7.9..8.6).contains(&tiny.bytes_per_token.get()), "{tiny:?}");
        assert_eq!(counted(&world, 1, 31), first, "another worker has not heard of it");
        tell(&world, texts);
        // A worker measures a request by what it knew before, and reads the snapshot with it.
        counted(&world, 2, 40);
        let heard = counted(&world, 2, 32);
        assert!((990..1_030).contains(&heard), "{heard}");
        world.is_well();
    }
}

/// Pushes a snapshot with these bytes per token.
fn tell(world: &World, texts: Vec<TextMeasure>) {
    let endpoints = vec![Pod::idle(1).endpoint()];
    let snapshot = Snapshot { pool: "default".to_owned(), endpoints, texts, ..Snapshot::default() };
    let body = wire::snapshot::encode(&snapshot).unwrap();
    let push = Push { body, ..world.push(&[]) };
    let stream = world.ingest(0, &push.headers(), &push.body);
    assert_eq!(stream.status(), Some(204), "{:?}", stream.response());
}

#[test]
fn an_envoy_that_starts_counts_as_those_before_it() {
    let world = world();
    let text = |model: &str, bytes| TextMeasure {
        model: model.to_owned(),
        bytes_per_token: BytesPerToken::new(bytes),
        answers: 64,
    };
    tell(&world, vec![text("", 4.0), text("tiny", 2.0)]);
    let found = counted(&world, 3, 0);
    assert!((4_000..4_300).contains(&found), "{found}");
    world.is_well();
}

#[test]
fn answers_that_fail_or_break_off_teach_nothing() {
    let usage = br#"{"error":{"message":"x"},"usage":{"prompt_tokens":9,"completion_tokens":1}}"#;
    let world = world();
    let first = counted(&world, 0, 0);
    for number in 1..20 {
        for status in [200, 400] {
            world.chat(0, &prompt(number)).respond(status, JSON, usage);
        }
    }
    assert_eq!(counted(&world, 0, 30), first);
    world.is_well();
}
