//! Prompts in the order of their model's chat template.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use host_mock::Stream;
use serde_json::{Value, json};

use super::{
    push::Pod,
    world::{CHAT, Way, World, about},
};

const NONE: &[(&str, &str)] = &[];
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

/// Asks under one system message with a set of tools of its own, about as long as that.
fn ask(world: &World, worker: usize, tools: usize) -> Stream {
    let function = json!({"name": "look_up", "description": about(&format!("tools {tools}"))});
    let body = json!({
        "model": "tiny",
        "messages": [
            {"role": "system", "content": about("manners")},
            {"role": "user", "content": "What is there to see?"},
        ],
        "tools": [{"type": "function", "function": function}],
    });
    world.envoy.worker(worker).post(CHAT, NONE, body.to_string().as_bytes())
}

/// Answers, with the tokens of the prompt that were cached.
fn answer(stream: &Stream, cached: usize) {
    stream.upstream_address("10.0.0.1:8000");
    let usage = json!({
        "prompt_tokens": 2_600, "completion_tokens": 7, "total_tokens": 2_607,
        "prompt_tokens_details": {"cached_tokens": cached},
    });
    let message = json!({"role": "assistant", "content": "A river."});
    let body = json!({"choices": [{"message": message}], "usage": usage});
    stream.respond(200, JSON, body.to_string().as_bytes());
}

/// Returns the share of the prompt that the decision found cached, in hundredths.
fn hit(stream: &Stream) -> u32 {
    let decision = World::decision(stream);
    let share = decision.split("prefix-hit=").nth(1).unwrap().split(';').next().unwrap();
    share.replace('.', "").parse().unwrap()
}

/// Asks so often, each time with other tools, and returns what the last decision found.
fn last_hit(world: &World, times: usize, cached: usize) -> u32 {
    let mut last = 0;
    for tools in 0..times {
        let stream = ask(world, 0, tools);
        answer(&stream, if tools == 0 { 0 } else { cached });
        last = hit(&stream);
    }
    last
}

fn world(keys: &Value) -> World {
    let world = World::with(Way::STOP_ITERATION_HEADER, keys);
    world.pods(&[Pod::idle(1)]);
    world
}

#[test]
fn answers_teach_where_the_template_has_the_tools() {
    for (cached, times, found) in [
        // The system message is cached behind tools that the pod has not seen.
        (1_296, 3, 0..=0),
        (1_296, 14, 40..=55),
        (0, 40, 0..=0),
    ] {
        let world = world(&json!({}));
        let last = last_hit(&world, times, cached);
        assert!(found.contains(&last), "{cached} cached, {times} times: {last}");
        world.is_well();
    }
}

#[test]
fn a_configured_place_is_kept_whatever_answers_say() {
    for (place, found) in [("front", 0..=0), ("afterSystem", 40..=55), ("learnt", 40..=55)] {
        let world = world(&json!({"toolsAt": place}));
        let last = last_hit(&world, 20, 1_296);
        assert!(found.contains(&last), "{place}: {last}");
        world.is_well();
    }
}
