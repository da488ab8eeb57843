//! The cost of reading a request's body, beside serde_json with borrowed structs.
//!
//! Tried on the way, in V8, for 220 KB: walking byte by byte over `\\` made JSON within JSON cost
//! 199 us; whole blocks of plain compares, walking where they stopped, 22 us without rare escapes but
//! 82 us for JSON within JSON, 120 us for all `\u`, and over 100 us for English with two `\u` a
//! paragraph. One bit for each byte costs 23 to 55 us, whatever the escapes.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench has no readers of its documentation")]

use std::borrow::Cow;

use divan::{Bencher, black_box, counter::BytesCount};
use wire::body::{Api, Video, scan};

#[path = "../tests/sample/mod.rs"]
mod sample;

fn main() {
    divan::main();
}

const SIZES: [usize; 5] = [1 << 10, 32 << 10, 220 << 10, 1 << 20, 4 << 20];

/// A tool as agents define them, of which a request has dozens.
const TOOL: &str = r#"{"type": "function", "function": {"name": "read_file", "description": "Reads a file.\nGive the \"path\" from the root.", "parameters": {"type": "object", "properties": {"path": {"type": "string", "description": "Where it is."}, "from": {"type": "integer", "minimum": 0}}, "required": ["path"]}}}"#;

#[divan::bench(args = SIZES)]
fn plain(bencher: Bencher<'_, '_>, size: usize) {
    scanner(bencher, &sample::chat(size, sample::PLAIN));
}

#[divan::bench(args = SIZES)]
fn escaped(bencher: Bencher<'_, '_>, size: usize) {
    scanner(bencher, &sample::chat(size, sample::ESCAPED));
}

#[divan::bench(args = SIZES)]
fn mixed(bencher: Bencher<'_, '_>, size: usize) {
    scanner(bencher, &sample::chat(size, sample::MIXED));
}

#[divan::bench(args = SIZES)]
fn nested_json(bencher: Bencher<'_, '_>, size: usize) {
    scanner(bencher, &sample::chat(size, sample::NESTED));
}

#[divan::bench(args = SIZES)]
fn unicode_escapes(bencher: Bencher<'_, '_>, size: usize) {
    scanner(bencher, &sample::chat(size, sample::UNICODE));
}

/// Half of the body are definitions of tools, which are part of the prompt as they are.
#[divan::bench(args = SIZES)]
fn tools(bencher: Bencher<'_, '_>, size: usize) {
    let chat = sample::chat(size / 2, sample::ESCAPED);
    let tools = vec![TOOL; (size / 2).div_ceil(TOOL.len())].join(", ");
    scanner(bencher, &chat.replacen('{', &format!("{{\"tools\": [{tools}], "), 1));
}

#[divan::bench(args = SIZES)]
fn serde_json_plain(bencher: Bencher<'_, '_>, size: usize) {
    serde_json(bencher, &sample::chat(size, sample::PLAIN));
}

#[divan::bench(args = SIZES)]
fn serde_json_escaped(bencher: Bencher<'_, '_>, size: usize) {
    serde_json(bencher, &sample::chat(size, sample::ESCAPED));
}

fn scanner(bencher: Bencher<'_, '_>, body: &str) {
    bencher.counter(BytesCount::of_str(body)).bench_local(|| {
        scan(black_box(body.as_bytes()), Api::ChatCompletions, Video::default()).unwrap()
    });
}

fn serde_json(bencher: Bencher<'_, '_>, body: &str) {
    bencher
        .counter(BytesCount::of_str(body))
        .bench_local(|| serde_json::from_slice::<Chat<'_>>(black_box(body.as_bytes())).unwrap());
}

#[derive(serde::Deserialize)]
#[allow(dead_code, reason = "filled and thrown away")]
struct Chat<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    messages: Vec<Message<'a>>,
    max_tokens: u64,
}

#[derive(serde::Deserialize)]
#[allow(dead_code, reason = "filled and thrown away")]
struct Message<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow)]
    content: Cow<'a, str>,
}
