//! Requests of any method, path, content type and body: the pod receives what was sent, or the client is told why not.
//!
//! A run takes two seconds. `LLM_PICKER_FUZZ=100000` sends so many, and `LLM_PICKER_FUZZ_SEED=7` those of a seed that an
//! earlier run has printed.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic, and says what it tried"
)]

use std::{
    env,
    time::{SystemTime, UNIX_EPOCH},
};

use fastrand::Rng;
use host_mock::Stream;
use serde_json::{Value, json};
use wire::operation::OPERATIONS;

use super::{
    push::Pod,
    world::{WORKERS, Way, World},
};

/// Requests of a short run.
const REQUESTS: usize = 2_000;

/// Requests of one world; then another way into Envoy has its turn.
const PER_WORLD: usize = 250;

/// Limit on a body, which some are above.
const BODY_BYTES_MAX: usize = 4_000;

const METHODS: [&str; 8] = ["POST", "POST", "POST", "GET", "PUT", "DELETE", "OPTIONS", "PATCH"];

const CONTENT_TYPES: [&str; 10] = [
    "application/json",
    "application/json",
    "application/json; charset=utf-8",
    "multipart/form-data; boundary=b",
    "multipart/form-data",
    "application/x-www-form-urlencoded",
    "application/octet-stream",
    "text/plain",
    "audio/wav",
    "",
];

const ENCODINGS: [&str; 12] =
    ["", "", "", "", "", "", "", "", "identity", "gzip", "zstd", "deflate, br"];

/// Words of all dialects, for members and for texts.
const WORDS: [&str; 28] = [
    "model",
    "messages",
    "prompt",
    "input",
    "role",
    "content",
    "user",
    "text",
    "stream",
    "tools",
    "system",
    "metadata",
    "user_id",
    "max_tokens",
    "n",
    "previous_response_id",
    "conversation",
    "id",
    "instructions",
    "token_ids",
    "input_ids",
    "type",
    "image_url",
    "url",
    "stream_options",
    "include_usage",
    "contents",
    "parts",
];

/// One request.
#[derive(Debug)]
struct Sent {
    method: &'static str,
    path: String,
    content_type: &'static str,
    encoding: &'static str,
    body: Vec<u8>,
    /// Ends of the parts in which it comes.
    cuts: Vec<usize>,
    ending: Ending,
}

/// The way in which a body says where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Length,
    LastPart,
    Trailers,
}

fn path(rng: &mut Rng) -> String {
    let known = || OPERATIONS.iter().map(wire::operation::Operation::path);
    let pattern = known().nth(rng.usize(0..known().count())).unwrap();
    let mut path = pattern.to_owned();
    for placeholder in ["{model}", "{id}", "{item}", "{version}"] {
        path = path.replace(placeholder, ["tiny", "a%2Fb", "1", "org/x"][rng.usize(0..4)]);
    }
    let base = ["", "", "/v1", "/team/a", "/.", "//"][rng.usize(0..6)];
    let mut path = format!("{base}/{path}");
    match rng.u8(0..12) {
        0 => path.push_str("?x=/chat/completions"),
        1 => path.push('/'),
        2 => path = path.to_uppercase(),
        3 => path = path.replacen('/', "//", 2),
        4 => {
            let at = rng.usize(1..=path.len());
            path.insert(at, char::from(rng.u8(b'!'..=b'~')));
        }
        5 => path = path.replace("/v1/", "/v1%2f"),
        _ => (),
    }
    path
}

fn value(rng: &mut Rng, depth: u8) -> Value {
    match rng.u8(0..if depth > 4 { 6 } else { 9 }) {
        0 => Value::Null,
        1 => json!(rng.bool()),
        2 => json!(rng.i64(..)),
        3 => json!(rng.f64() * 1e9),
        4 => json!(WORDS[rng.usize(0..WORDS.len())]),
        5 => json!((0..rng.usize(0..40)).map(|_| rng.char(..)).collect::<String>()),
        6 => (0..rng.usize(0..4)).map(|_| value(rng, depth + 1)).collect(),
        _ => {
            let member = |rng: &mut Rng| {
                (WORDS[rng.usize(0..WORDS.len())].to_owned(), value(rng, depth + 1))
            };
            Value::Object((0..rng.usize(0..6)).map(|_| member(rng)).collect())
        }
    }
}

/// A request that an engine takes, of some dialect.
fn good(rng: &mut Rng) -> Value {
    let text = "lorem ipsum ".repeat(rng.usize(0..400));
    match rng.u8(0..7) {
        0 => json!({"model": "tiny", "messages": [{"role": "user", "content": text}]}),
        1 => json!({"model": "tiny", "prompt": text, "stream": true}),
        2 => {
            json!({"model": "tiny", "input": [{"role": "user", "content": text}], "previous_response_id": "resp_1"})
        }
        3 => json!({"model": "tiny", "query": text, "documents": ["a", "b"]}),
        4 => json!({"text": text, "sampling_params": {"max_new_tokens": 4}, "rid": "r"}),
        5 => json!({"contents": [{"role": "user", "parts": [{"text": text}]}]}),
        _ => {
            json!({"model": "tiny", "max_tokens": 5, "system": [{"type": "text", "text": text}], "messages": []})
        }
    }
}

fn body(rng: &mut Rng) -> Vec<u8> {
    let mut body = match rng.u8(0..8) {
        0..=2 => good(rng).to_string().into_bytes(),
        3..=5 => value(rng, 0).to_string().into_bytes(),
        6 => b"--b\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\ntiny\r\n--b--\r\n"
            .to_vec(),
        _ => (0..rng.usize(0..300)).map(|_| rng.u8(..)).collect(),
    };
    for _ in 0..[0, 0, 0, 1, 3][rng.usize(0..5)] {
        let at = rng.usize(0..=body.len());
        match rng.u8(0..4) {
            0 => body.truncate(at),
            1 => body.insert(at, rng.u8(..)),
            2 => body.insert(at, b"\"{}[],:\\"[rng.usize(0..8)]),
            _ if at < body.len() => body[at] = rng.u8(..),
            _ => (),
        }
    }
    body
}

fn request(rng: &mut Rng) -> Sent {
    let method = METHODS[rng.usize(0..METHODS.len())];
    let has_body = rng.u8(0..8) > 0;
    let body = if has_body { body(rng) } else { Vec::new() };
    let mut cuts: Vec<usize> = (0..rng.usize(0..4)).map(|_| rng.usize(0..=body.len())).collect();
    cuts.push(body.len());
    cuts.sort_unstable();
    Sent {
        method,
        path: path(rng),
        content_type: CONTENT_TYPES[rng.usize(0..CONTENT_TYPES.len())],
        encoding: ENCODINGS[rng.usize(0..ENCODINGS.len())],
        body,
        cuts,
        ending: match rng.u8(0..10) {
            0 => Ending::Trailers,
            1..=5 => Ending::Length,
            _ => Ending::LastPart,
        },
    }
}

fn send(world: &World, worker: usize, sent: &Sent) -> Stream {
    let length = sent.body.len().to_string();
    let mut headers = vec![(":method", sent.method), (":path", sent.path.as_str())];
    let more = [("content-type", sent.content_type), ("content-encoding", sent.encoding)];
    headers.extend(more.into_iter().filter(|(_, value)| !value.is_empty()));
    if sent.ending == Ending::Length && !sent.body.is_empty() {
        headers.push(("content-length", &length));
    }
    let worker = world.envoy.worker(worker);
    let has_trailers = sent.ending == Ending::Trailers;
    if sent.body.is_empty() && !has_trailers {
        return worker.get(&sent.path, &headers[..]);
    }
    let stream = worker.post_headers(&sent.path, &headers[..]);
    let starts = std::iter::once(0).chain(sent.cuts.iter().copied());
    let parts: Vec<&[u8]> =
        starts.zip(&sent.cuts).map(|(start, end)| &sent.body[start..*end]).collect();
    let (last, parts) = parts.split_last().unwrap();
    parts.iter().for_each(|part| stream.chunk(part));
    if has_trailers {
        stream.chunk(last);
        stream.trailers(&[("x-end", "1")]);
    } else {
        stream.last_chunk(last);
    }
    stream
}

/// Says what is wrong with what came of a request.
fn judge(sent: &Sent, stream: &Stream) -> Result<(), String> {
    if let Some(got) = stream.sent() {
        let same = [(":method", sent.method), (":path", sent.path.as_str())];
        let changed = same.iter().find(|(name, value)| got.headers.text(name) != Some(value));
        if let Some((name, _)) = changed {
            return Err(format!("the pod got {name} {:?}", got.headers.text(name)));
        }
        if got.body != sent.body || !got.complete {
            return Err(format!("the pod got {:?}", String::from_utf8_lossy(&got.body)));
        }
        return Ok(());
    }
    let Some(response) = stream.response() else { return Err("neither sent nor answered".into()) };
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let message = body.pointer("/error/message").and_then(Value::as_str).unwrap_or_default();
    let reason = response.headers.text("x-llm-picker-reason").unwrap_or_default();
    let is_told =
        (400..500).contains(&response.status) && !message.is_empty() && !reason.is_empty();
    if is_told { Ok(()) } else { Err(format!("answered {}: {body}", response.status)) }
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap())
}

/// A world of this way; some read more of the requests, as a model may be sent as another.
fn world(way: Way, rng: &mut Rng) -> World {
    let mut keys = json!({"envoy": {"maxBodyBytes": BODY_BYTES_MAX}});
    if rng.bool() {
        let matches = json!([{"model": {"value": "never-asked-for"}}]);
        let rule = json!({"matches": matches, "targets": [{"modelRewrite": "other"}]});
        keys["modelRewrites"] = json!([{"name": "r", "rules": [rule]}]);
    }
    let world = World::with(way, &keys);
    world.pods(&Pod::idles(3));
    world
}

#[test]
fn whatever_is_sent_reaches_the_pod_or_is_answered_with_why() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let seed = number("LLM_PICKER_FUZZ_SEED").unwrap_or(now);
    let requests = number("LLM_PICKER_FUZZ").map_or(REQUESTS, |it| usize::try_from(it).unwrap());
    let mut rng = Rng::with_seed(seed);
    let (mut passed, mut told) = (0, 0);
    for turn in 0..requests.div_ceil(PER_WORLD) {
        let way = Way::ALL[turn % Way::ALL.len()];
        let world = world(way, &mut rng);
        for index in 0..PER_WORLD {
            let sent = request(&mut rng);
            let stream = send(&world, index % WORKERS, &sent);
            if let Err(why) = judge(&sent, &stream) {
                panic!("seed {seed}, {way}: {why}\n{sent:?}");
            }
            if stream.sent().is_some() {
                passed += 1;
                let answer: Vec<u8> = (0..rng.usize(1..200)).map(|_| rng.u8(..)).collect();
                stream.respond(200, &[("content-type", "application/json")], &answer);
                assert_eq!(stream.response().unwrap().body, answer, "seed {seed}");
            } else {
                told += 1;
            }
        }
        world.is_well();
    }
    eprintln!("seed {seed}: {passed} reached a pod, {told} were told why not");
    assert!(passed > requests / 4 && told > requests / 50, "{passed} and {told}");
}
