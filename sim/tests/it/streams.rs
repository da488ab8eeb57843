//! The order and the kind of a stream's events, beside those that a real server sent.

use std::{collections::BTreeMap, io::Read, time::Instant};

use serde_json::Value;
use sim::{Options, Server};

use crate::client::open;

/// What came at one time: milliseconds since the request, and the bytes of the body; the headers have
/// none.
type Frames = Vec<(f64, String)>;

/// A request for a stream with a prompt of some 1,000 tokens, as the recorded ones had; of another name
/// it is another prompt, which is not cached.
fn ask(api: &str, name: &str, include_usage: bool) -> String {
    let prompt = format!("{name}: {}", "word ".repeat(900));
    let prompt = match api {
        "chat" | "messages" => format!(r#""messages":[{{"role":"user","content":"{prompt}"}}]"#),
        "responses" => format!(r#""max_output_tokens":4,"input":"{prompt}""#),
        _ => format!(r#""prompt":"{prompt}""#),
    };
    format!(
        r#"{{"model":"tiny",{prompt},"max_tokens":4,"ignore_eos":true,"stream":true,"stream_options":{{"include_usage":{include_usage}}}}}"#
    )
}

/// Records a stream of the simulator.
fn record(server: &Server, path: &str, ask: &str) -> Frames {
    let origin = Instant::now();
    let mut stream = open(server.addr, &format!("POST {path}"), "", ask).unwrap();
    let mut frames = Frames::new();
    let mut buffer = [0; 65_536];
    let mut rest = String::new();
    loop {
        let read = stream.read(&mut buffer).unwrap();
        if read == 0 {
            return frames;
        }
        let at = origin.elapsed().as_secs_f64() * 1e3;
        rest.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        if frames.is_empty() {
            let (_, body) = rest.split_once("\r\n\r\n").unwrap();
            rest = body.to_owned();
            frames.push((at, String::new()));
        }
        let mut body = String::new();
        while let Some((size, after)) = rest.split_once("\r\n") {
            let size = usize::from_str_radix(size, 16).unwrap();
            if after.len() < size + 2 {
                break;
            }
            body.push_str(&after[..size]);
            rest = after[size + 2..].to_owned();
        }
        if !body.is_empty() {
            frames.push((at, body));
        }
    }
}

/// The kind of an event, by its name where it has one.
fn kind(event: &str) -> String {
    if event.starts_with(':') {
        return "comment".to_owned();
    }
    if let Some((name, data)) =
        event.strip_prefix("event: ").and_then(|it| it.split_once("\ndata: "))
    {
        let data: Value = serde_json::from_str(data).unwrap();
        let inner = ["response", "message", "item", "part", "delta", "usage", "content_block"];
        let members = std::iter::once(("", &data)).chain(inner.map(|name| (name, &data[name])));
        let keys = members.filter_map(|(name, value)| {
            let keys: Vec<&str> = value.as_object()?.keys().map(String::as_str).collect();
            Some(format!("{name}({})", keys.join(",")))
        });
        return format!("{name}: {}", keys.collect::<Vec<_>>().join(" "));
    }
    let data = event.strip_prefix("data: ").unwrap();
    if data == "[DONE]" {
        return "done".to_owned();
    }
    let data: Value = serde_json::from_str(data).unwrap();
    let keys = |value: &Value| {
        let keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        keys.join(",")
    };
    let choice = &data["choices"][0];
    if choice.is_null() {
        return format!("usage of {}", keys(&data["usage"]));
    }
    let text = ["content", "reasoning"].iter().find_map(|field| choice["delta"][field].as_str());
    let text = text.or_else(|| choice["text"].as_str()).unwrap_or_default();
    let what = if text.is_empty() { "no content" } else { "content" };
    let finish = if choice["finish_reason"].is_null() { "" } else { " and finish" };
    format!("{what}{finish}: {}", keys(&data))
}

/// Kinds of a stream's events in their order; equal ones that follow each other count once.
fn kinds(frames: &Frames) -> Vec<String> {
    let events = frames.iter().flat_map(|(_, body)| body.split_terminator("\n\n"));
    let mut kinds: Vec<String> = events.map(kind).collect();
    kinds.dedup();
    kinds
}

/// Times of the headers, of the first event and of the first one with content.
fn beginnings(frames: &Frames) -> [f64; 3] {
    let first = |is: &dyn Fn(&str) -> bool| {
        let mut found = frames.iter().filter(|(_, body)| body.split_terminator("\n\n").any(is));
        found.next().unwrap().0
    };
    let has_content = |event: &str| kind(event).starts_with("content");
    [frames[0].0, first(&|_| true), first(&has_content)]
}

/// Headers come at once and the role with the first token: what is between them is the prompt's work.
fn begins_as_an_engine_does(frames: &Frames) {
    let [headers, first, content] = beginnings(frames);
    assert!(headers < content / 4.0, "headers at {headers} of {content} ms");
    assert!(first > content * 0.9, "an event at {first} of {content} ms");
}

#[test]
fn the_simulator_sends_what_a_real_server_sends() {
    let text = include_str!("../data/vllm-0.32.0-streams.json");
    let recorded: BTreeMap<String, Frames> = serde_json::from_str(text).unwrap();
    let server = Server::start(Options::default()).unwrap();
    for (name, path, include_usage) in [
        ("chat", "/v1/chat/completions", false),
        ("chat with reasoning and usage", "/v1/chat/completions", true),
        ("completions", "/v1/completions", false),
        ("messages", "/v1/messages", false),
        ("responses", "/v1/responses", false),
    ] {
        let api = name.split(' ').next().unwrap();
        let ours = record(&server, path, &ask(api, name, include_usage));
        let real = &recorded[name];
        if matches!(api, "chat" | "completions") {
            begins_as_an_engine_does(real);
            begins_as_an_engine_does(&ours);
        }
        // A real server without a parser of reasoning has no details of the output.
        let plain = |kind: String| kind.replace("completion_tokens_details,", "");
        let [real, ours] = [real, &ours].map(|it| kinds(it).into_iter().map(plain));
        assert_eq!(ours.collect::<Vec<_>>(), real.collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn silence_is_broken_by_comments_where_that_is_asked_for() {
    let options = Options { sse_keep_alive_interval: 0.02, ..Options::default() };
    let server = Server::start(options).unwrap();
    let frames = record(&server, "/v1/chat/completions", &ask("chat", "silence", false));
    let [_, first, content] = beginnings(&frames);
    assert!(first < content / 2.0, "a comment at {first} of {content} ms");
    let kinds = kinds(&frames);
    assert_eq!(kinds[0], "comment", "{kinds:?}");
    let comments = frames.iter().filter(|(_, body)| body.starts_with(':')).count();
    assert!(comments > 2, "{comments} comments");
}
