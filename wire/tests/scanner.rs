//! The scanners give the same answers natively and in a wasm VM, where other instructions do the
//! work. In Node: `wasm-bindgen-test-runner` as the runner of `wasm32-unknown-unknown`, and
//! `-C target-feature=+simd128`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

use wasm_bindgen_test::wasm_bindgen_test;
use wire::{
    body::{Api, Piece, Video, scan},
    metrics,
};

mod sample;

fn chat(body: &str) -> String {
    match scan(body.as_bytes(), Api::ChatCompletions, Video::default()) {
        Ok(inference) => {
            let pieces = inference.prompt.iter().map(|piece| match *piece {
                Piece::Text(bytes) | Piece::Tokens(bytes) => String::from_utf8_lossy(bytes).into(),
                Piece::Media(identity, tokens) => {
                    format!("{tokens}x{}", String::from_utf8_lossy(identity))
                }
            });
            let pieces: Vec<String> = pieces.collect();
            format!("{}: {}", inference.model.unwrap_or_default(), pieces.join("|"))
        }
        Err(error) => error.to_string(),
    }
}

/// A body, and what is read of it.
const BODIES: [(&str, &str); 9] = [
    (r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#, "m: user|hi"),
    (
        r#"{"messages":[{"content":"a \"b\"\n","role":"user"}],"tools":[{"x":1}],"model":"m"}"#,
        r#"m: [{"x":1}]|user|a \"b\"\n"#,
    ),
    (
        r#"{"mod\u0065l":"\u4f60 \ud83d\ude00 \ud800","messages":[{"role":"user"}]}"#,
        "你 😀 \u{fffd}: user",
    ),
    (
        r#"{"model":"m","messages":[{"role":"u","content":[{"type":"text","text":"t"},{"type":"image_url","image_url":{"url":"i"}}]}]}"#,
        "m: u|t|225xi",
    ),
    (
        r#"{"model":"m","messages":[]}"#,
        "invalid chat completions request: must have valid messages field",
    ),
    (
        r#"{"model":"m\q","messages":[{}]}"#,
        "error unmarshaling request bodyMap: invalid character 'q' in string escape code (byte 12)",
    ),
    (
        r#"{"model":"m","a key of more than sixteen \u12x4":1,"messages":[{}]}"#,
        "error unmarshaling request bodyMap: invalid character 'x' in \\u hexadecimal character escape (byte 45)",
    ),
    (r#"{"model":"m","messages":[{"role":"u","content":"x\q \u1"}]}"#, r"m: u|x\q \u1"),
    (r#"{"messages":[{}]}"#, ": "),
];

#[wasm_bindgen_test(unsupported = test)]
fn bodies_read_the_same_everywhere() {
    for (body, said) in BODIES {
        assert_eq!(chat(body), said, "{body}");
    }
}

/// Whatever comes at whatever distance from a block's edge, the string ends at the same quote.
#[wasm_bindgen_test(unsupported = test)]
fn escapes_at_every_distance_from_a_block_are_read_the_same() {
    let marks = [
        r"\n",
        r#"\""#,
        r"\\",
        r#"\\\""#,
        r"\\\\",
        r"\\\\\\\\\\",
        r#"\\\\\""#,
        r"\u00e9",
        r"\r",
        r"\\n",
    ];
    for before in 0..140 {
        for mark in marks {
            for after in [0, 1, 15, 16, 17, 63, 64, 65, 130] {
                let text = format!("{}{mark}{}", "x".repeat(before), "n".repeat(after));
                let body =
                    format!(r#"{{"model":"m","messages":[{{"role":"u","content":"{text}"}}]}}"#);
                assert_eq!(chat(&body), format!("m: u|{text}"));
                let open = body.replace("\"}]}", "}]}");
                assert!(chat(&open).starts_with("error unmarshaling"), "{open}");
            }
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn long_prompts_come_out_whole() {
    let texts = [sample::PLAIN, sample::ESCAPED, sample::MIXED, sample::NESTED, sample::UNICODE];
    for text in texts {
        let body = sample::chat(100_000, text);
        let inference = scan(body.as_bytes(), Api::ChatCompletions, Video::default()).unwrap();
        let Piece::Text(prompt) = *inference.prompt.last().unwrap() else { panic!("no text") };
        assert_eq!(prompt.len() % text.len(), 0);
        assert_eq!(prompt, text.repeat(prompt.len() / text.len()).as_bytes());
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn pages_read_the_same_everywhere() {
    let say = |page: &[u8]| {
        let reading = metrics::scan(page).unwrap();
        let cache = reading.cache.unwrap();
        format!(
            "{} {} {:.4} {}x{}",
            reading.waiting, reading.running, reading.kv_usage, cache.blocks, cache.block_tokens
        )
    };
    assert_eq!(say(include_bytes!("data/vllm-0.16.0.txt")), "22 8 0.1820 512x32");
    assert_eq!(say(include_bytes!("data/vllm-0.32.0.txt")), "24 8 0.1859 512x32");
    assert_eq!(say(include_bytes!("data/vllm-0.32.0-dp2.txt")), "16 16 0.1957 2048x32");
}
