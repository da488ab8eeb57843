//! What tenants are charged for: a tenant cannot have its cost hidden by any field of its requests.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic, and says where it was"
)]

use host_mock::Stream;
use serde_json::{Value, json};
use wire::tally::Measure;

use super::{
    flow::world::gated_with,
    push::Pod,
    tallied::Tallied,
    world::{CHAT, World},
};

/// Tokens that every answer of these stories takes to generate.
const TOKENS: usize = 400;

/// Share of two equal tenants that one of them may have, in hundredths: the documented bound, and what
/// forty answers round it to.
const SHARES: std::ops::RangeInclusive<usize> = 40..=60;

/// One tenant's way to ask and be answered.
struct Trick {
    name: &'static str,
    /// Fields of its requests.
    fields: Value,
    headers: &'static [(&'static str, &'static str)],
    body: fn() -> String,
}

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const EVENTS: &[(&str, &str)] = &[("content-type", "text/event-stream")];
const ZIPPED: &[(&str, &str)] =
    &[("content-type", "application/json"), ("content-encoding", "gzip")];

/// A whole answer with its usage, and with these members behind it.
fn whole(before: &str, behind: &str) -> String {
    let text = "word".repeat(TOKENS);
    format!(
        r#"{{"id":"c"{before},"choices":[{{"message":{{"role":"assistant","content":"{text}"}}}}],"usage":{{"prompt_tokens":900,"total_tokens":1300,"completion_tokens":{TOKENS}}}{behind}}}"#
    )
}

fn ids() -> String {
    let ids: Vec<usize> = (10_000..11_000).collect();
    format!(r#","prompt_token_ids":{ids:?},"prompt_logprobs":[null,{{"7":{{"logprob":-1.0}}}}]"#)
}

/// A stream of events with so many tokens each, and no usage.
fn stream(tokens: usize) -> String {
    let event = format!(
        "data: {{\"id\":\"c\",\"choices\":[{{\"delta\":{{\"content\":\"{}\"}},\"logprobs\":null}}]}}\n\n",
        "word".repeat(tokens)
    );
    let role = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
    format!("{role}{}", event.repeat(TOKENS / tokens))
}

/// A stream as Anthropic's, up to the moment at which its client leaves: it has counted no output yet.
fn left() -> String {
    let delta = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"word\"}}\n\n";
    let start = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":900,\"output_tokens\":1}}}\n\n";
    format!("{start}{}", delta.repeat(TOKENS))
}

fn tricks() -> Vec<Trick> {
    let trick = |name, fields, headers, body| Trick { name, fields, headers, body };
    let echoed = || {
        let nothing = r#"{"prompt_tokens":0,"completion_tokens":0,"output_tokens":0}"#;
        let tools = format!(
            r#","tools":[{{"parameters":{{"usage":{nothing}}}}}],"metadata":{{"usage":{nothing}}}"#
        );
        whole(&tools, &tools)
    };
    let said = || whole("", r#","x":"\"usage\":{\"completion_tokens\":0}""#);
    vec![
        trick("nothing", json!({}), JSON, || whole("", "")),
        trick("token ids", json!({"return_token_ids": true}), JSON, || whole("", &ids())),
        trick("logprobs", json!({"prompt_logprobs": 1, "logprobs": true}), JSON, || {
            whole(&ids(), &ids())
        }),
        trick("tool schemas", json!({"tools": [{"parameters": {"usage": {}}}]}), JSON, echoed),
        trick("text", json!({"echo": true}), JSON, said),
        trick("min_tokens", json!({"min_tokens": 400, "ignore_eos": true}), JSON, || whole("", "")),
        trick("n", json!({"n": 4, "best_of": 4}), JSON, || whole("", "")),
        trick("a stream", json!({"stream": true}), EVENTS, || stream(1)),
        trick(
            "no usage",
            json!({"stream": true, "stream_options": {"include_usage": false}}),
            EVENTS,
            || stream(1) + "data: [DONE]\n\n",
        ),
        trick("events of four tokens", json!({"stream": true}), EVENTS, || stream(4)),
        trick("left before its usage", json!({"stream": true}), EVENTS, left),
        trick("no carriage", json!({"stream": true}), EVENTS, || stream(1).replace('\n', "\r")),
        trick(
            "reasoning left out",
            json!({"stream": true, "include_reasoning": false, "max_tokens": 400}),
            EVENTS,
            || "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\n".to_owned(),
        ),
        trick("no usage at all", json!({"max_tokens": 4_000}), JSON, || {
            format!(r#"{{"choices":[{{"message":{{"content":"{}"}}}}]}}"#, "word".repeat(TOKENS))
        }),
        trick("gzip", json!({"max_tokens": 400}), ZIPPED, || "z".repeat(90)),
    ]
}

fn ask(world: &World, tenant: &str, number: usize, fields: &Value) -> Stream {
    // A short prompt: what is shared is the output.
    let text = format!("{tenant} and number {number:04}");
    let mut body = json!({"model": "tiny", "messages": [{"role": "user", "content": text}]});
    for (key, value) in fields.as_object().unwrap() {
        body.as_object_mut().unwrap().insert(key.clone(), value.clone());
    }
    let id = [("x-llm-d-inference-fairness-id", tenant), ("accept-encoding", "gzip")];
    world.envoy.worker(number % 4).post(CHAT, &id, body.to_string().as_bytes())
}

fn answer(stream: &Stream, trick: &Trick) {
    stream.respond_headers(200, trick.headers);
    let body = (trick.body)();
    for part in body.as_bytes().chunks(700) {
        stream.respond_chunk(part);
    }
    stream.respond_end();
}

/// Two tenants keep four requests each before a pool that takes one at a time. Returns the share of the
/// first, in hundredths, of forty answers.
fn share(one: &Trick, other: &Trick) -> usize {
    let policy = "token-fair-fairness-policy";
    let band = json!({"defaultPriorityBand": {"fairnessPolicyRef": policy}});
    let world = gated_with(&[json!({"type": policy})], &band);
    world.pods(&[Pod::idle(1)]);
    let tenants = [("one", one), ("other", other)];
    let mut open = Vec::new();
    for number in 0..4 {
        for (tenant, trick) in tenants {
            open.push((tenant, ask(&world, tenant, number, &trick.fields)));
        }
    }
    let mut served = [0; 2];
    for number in 4..44 {
        world.envoy.pump();
        let at = open.iter().position(|(_, stream)| stream.sent().is_some()).unwrap();
        let (tenant, stream) = open.swap_remove(at);
        let index = usize::from(tenant == "other");
        let trick = tenants[index].1;
        answer(&stream, trick);
        world.envoy.pump();
        served[index] += 1;
        open.push((tenant, ask(&world, tenant, number, &trick.fields)));
    }
    world.is_well();
    served[0] * 100 / 40
}

#[test]
fn no_field_of_a_request_brings_more_than_a_fair_share() {
    let honest = &tricks()[0];
    for trick in &tricks() {
        let share = share(trick, honest);
        assert!(SHARES.contains(&share), "{}: {share} %", trick.name);
    }
}

#[test]
fn a_tenant_that_is_charged_cannot_ask_for_compression() {
    let policy = "token-fair-fairness-policy";
    let band = json!({"defaultPriorityBand": {"fairnessPolicyRef": policy}});
    for (world, is_kept) in
        [(gated_with(&[json!({"type": policy})], &band), false), (World::new(), true)]
    {
        world.pods(&[Pod::idle(1)]);
        let sent = ask(&world, "one", 0, &json!({})).sent().unwrap();
        assert_eq!(sent.headers.text("accept-encoding").is_some(), is_kept);
        world.is_well();
    }
}

#[test]
fn what_says_no_usage_is_counted() {
    let world = World::new();
    world.pods(&[Pod::idle(1)]);
    let unmetered = |trick: &Trick| {
        answer(&ask(&world, "one", 0, &trick.fields), trick);
        Tallied::of(&world, &[Pod::idle(1)]).total(Measure::Unmetered)
    };
    let mut expected = 0;
    for trick in &tricks() {
        let body = (trick.body)();
        expected += u64::from(!body.contains("completion_tokens"));
        assert_eq!(unmetered(trick), expected, "{}", trick.name);
    }
    ask(&world, "one", 0, &json!({})).respond(404, JSON, b"{}");
    assert_eq!(unmetered(&tricks()[0]), expected, "an error costs nothing");
    world.is_well();
}
