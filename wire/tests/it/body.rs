//! Request bodies.

use arbtest::arbitrary::{Result, Unstructured};
use serde::de::IgnoredAny;
use wire::body::{Api, BodyError, Inference, scan};

use crate::{mutated, sample};

#[test]
fn a_path_says_the_api_by_its_end() {
    let table: [(&str, Option<Api>); 7] = [
        ("/v1/chat/completions", Some(Api::ChatCompletions)),
        ("/v1/completions?x=/chat/completions", Some(Api::Completions)),
        ("/team/a/v1/chat/completions?beta=1", Some(Api::ChatCompletions)),
        ("/v1/completions", Some(Api::Completions)),
        ("/v1/completions/render", None),
        ("/v1/embeddings", None),
        ("", None),
    ];
    for (path, api) in table {
        assert_eq!(Api::of_path(path.as_bytes()), api, "{path}");
    }
}

#[test]
fn the_limits_and_flags_are_read_and_the_last_of_two_keys_counts() {
    let body = r#"{"model":"x","model":"m","stream":true,"stream_options":{"include_usage":true},
        "max_tokens":5,"max_completion_tokens":16.0,"cache_salt":"s","messages":1,
        "messages":[{"role":"a","role":"b","content":["p","q"],"content":"c","tool_calls":[]}]}"#;
    assert_eq!(
        scan(body.as_bytes(), Api::ChatCompletions),
        Ok(Inference {
            model: "m".into(),
            cache_salt: Some(b"s"),
            stream: true,
            include_usage: true,
            max_tokens: Some(16),
            prompt: vec![b"b", b"c"],
        })
    );
}

#[test]
fn a_completions_prompt_is_text_texts_or_tokens() {
    let prompt = |json: &str| {
        let body = format!(r#"{{"model":"m","prompt":{json}}}"#);
        let pieces = scan(body.as_bytes(), Api::Completions).map(|inference| {
            inference
                .prompt
                .iter()
                .map(|piece| String::from_utf8_lossy(piece).into_owned())
                .collect()
        });
        pieces.unwrap_or_else(|error| vec![error.to_string()]).join(" | ")
    };
    assert_eq!(prompt(r#""a\n""#), r"a\n");
    assert_eq!(prompt(r#"["a", "b"]"#), "a | b");
    assert_eq!(prompt("[1, 2]"), "[1, 2]");
    assert_eq!(prompt("[[1], [2]]"), "[[1], [2]]");
    assert_eq!(prompt("null"), "invalid completions request: must have prompt field");
}

#[test]
fn errors_say_what_was_expected_and_found() {
    let say = |body: &str| scan(body.as_bytes(), Api::Completions).unwrap_err().to_string();
    let deep = |levels| {
        format!(r#"{{"model":"m","prompt":"p","x":{}{}}}"#, "[".repeat(levels), "]".repeat(levels))
    };
    insta::assert_snapshot!([
        say(""), say("[1]"), say("{\"a\":01}"), say("{\"a\":nul}"), say("{\"a\":\"x\ny\"}"), say("{\"a\" 1}"),
        say("{\"a\":1} x"), say("{\"a\":1.}"), say(r#"{"a":"\u12g4"}"#), say(r#"{"a":"#), say("{}"),
        say(r#"{"prompt":"p","model":""}"#), say(&deep(64)),
    ].join("\n"), @r#"
    error unmarshaling request bodyMap: expected an object, found the end at byte 0
    error unmarshaling request bodyMap: expected an object, found '[' at byte 0
    error unmarshaling request bodyMap: expected ',' or '}' after a member, found '1' at byte 6
    error unmarshaling request bodyMap: expected true, false or null, found '}' at byte 8
    error unmarshaling request bodyMap: expected an escape for a control character, found byte 0x0a at byte 7
    error unmarshaling request bodyMap: expected ':' after a key, found '1' at byte 5
    error unmarshaling request bodyMap: expected nothing after the object, found 'x' at byte 8
    error unmarshaling request bodyMap: expected a digit, found '}' at byte 7
    error unmarshaling request bodyMap: expected four hexadecimal digits after \u, found '1' at byte 8
    error unmarshaling request bodyMap: expected a value, found the end at byte 5
    invalid completions request: must have prompt field
    model not found in request body
    error unmarshaling request bodyMap: expected at most 64 levels of nesting, found '[' at byte 93
    "#);
    assert!(scan(deep(63).as_bytes(), Api::Completions).is_ok());
}

/// A JSON text that is valid but for an accident now and then.
fn json(u: &mut Unstructured<'_>, depth: u32, out: &mut String) -> Result<()> {
    match u.int_in_range(0..=if depth == 0 { 3 } else { 5 })? {
        0 => {
            out.push_str(u.choose(&["true", "false", "null", " null ", "nul", "True"])?);
        }
        1 => {
            out.push_str(u.choose(&[
                "0", "-1", "12.5e-3", "1E+2", "01", "1.", ".5", "-", "+1", "0e", "1e400",
            ])?);
        }
        2 | 3 => {
            out.push('"');
            for _ in 0..u.int_in_range(0..=30)? {
                out.push_str(u.choose(&[
                    "plain text without",
                    "é",
                    "n",
                    "\\n",
                    "\\\"",
                    "\\\\",
                    "\\u00e9",
                    "\\t",
                    "\\b\\f\\r\\/",
                    " ",
                ])?);
            }
            if u.ratio(1, 20)? {
                out.push_str(u.choose(&["\\q", "\n", "\\u12", "\\", "\u{1}", "\""])?);
            }
            out.push('"');
        }
        4 => {
            out.push('[');
            for index in 0..u.int_in_range(0..=4)? {
                out.push_str(if index > 0 { " ," } else { "" });
                json(u, depth - 1, out)?;
            }
            out.push_str(if u.ratio(1, 30)? { ",]" } else { "]" });
        }
        _ => {
            out.push('{');
            for index in 0..u.int_in_range(0..=4)? {
                out.push_str(if index > 0 { "," } else { "\n" });
                out.push_str(u.choose(&["\"k\":", "\"k\\n\" : ", "\"\":", "k:", "\"k\""])?);
                json(u, depth - 1, out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn agrees_with_serde_json(body: &[u8]) {
    let ours = match scan(body, Api::ChatCompletions) {
        Err(BodyError::Malformed { expected, .. }) => {
            // By intent: another limit of depth, and a body that is JSON but no object.
            if expected.contains("levels") || expected == "an object" {
                return;
            }
            false
        }
        Ok(_) | Err(BodyError::NoMessages | BodyError::NoPrompt | BodyError::NoModel) => true,
    };
    let theirs = serde_json::from_slice::<IgnoredAny>(body).is_ok();
    assert_eq!(ours, theirs, "{:?}", String::from_utf8_lossy(body));
}

/// The whole document is checked as strictly as serde_json checks what it skips, which like this
/// scanner looks neither for UTF-8 nor for pairs of surrogates.
#[test]
fn what_is_json_is_what_serde_json_takes() {
    arbtest::arbtest(|u| {
        let mut body = r#"{"model":"m","messages":"#.to_owned();
        json(u, 5, &mut body)?;
        body.push_str(",\"x\":");
        json(u, 5, &mut body)?;
        body.push('}');
        agrees_with_serde_json(body.as_bytes());
        Ok(())
    });
}

#[test]
fn broken_bodies_are_refused_as_by_serde_json() {
    let samples = [sample::PLAIN, sample::ESCAPED, sample::MIXED, sample::NESTED, sample::UNICODE]
        .map(|text| sample::chat(900, text));
    arbtest::arbtest(|u| {
        let body = u.choose(&samples)?.clone();
        agrees_with_serde_json(&mutated(u, body.as_bytes())?);
        let any: Vec<u8> = u.arbitrary()?;
        agrees_with_serde_json(&any);
        Ok(())
    });
}
