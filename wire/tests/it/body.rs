//! Request bodies.

use arbtest::arbitrary::{self, Unstructured};
use picker_core::{Chainer, Seed};
use serde::de::IgnoredAny;
use wire::body::{
    Api, BodyError, Dialect, Inference, OutputWishes, Piece, Place, Sections, Video, is_wide, scan,
};

use crate::{mutated, sample};

#[test]
fn the_limits_and_flags_are_read_and_the_last_of_two_keys_counts() {
    let body = r#"{"model":"x","model":"m","stream":true,"stream_options":{"include_usage":true},
        "max_tokens":5,"max_completion_tokens":16.0,"cache_salt":"s","messages":1,
        "messages":[{"role":"a","role":"b","content":["p","q"],"content":"c","tool_calls":null}]}"#;
    assert_eq!(
        scan(body.as_bytes(), Api::ChatCompletions, Video::default()),
        Ok(Inference {
            model: Some("m".into()),
            place: Place::Value(21..24),
            cache_salt: Some(b"s"),
            session: None,
            goes_on_from: None,
            own_name: None,
            stream: true,
            include_usage: true,
            max_tokens: Some(16),
            output: OutputWishes { tokens_max: Some(16), hides_some: false },
            prompt: vec![Piece::Text(b"b"), Piece::Text(b"c")],
            sections: Sections::default(),
        })
    );
}

/// The filter keeps names for as long as the request lives, and writes the model's into each event of the answer.
#[test]
fn names_that_nothing_can_have_are_none() {
    let read = |api, key: &str, bytes: usize| {
        let body = serde_json::json!({key: "n".repeat(bytes), "text": "p", "prompt": "p"});
        let body = body.to_string();
        let inference = scan(body.as_bytes(), api, Video::default()).unwrap();
        [inference.model.map(|model| model.len()), inference.own_name.map(<[u8]>::len)]
    };
    assert_eq!(read(Api::Completions, "model", 1_024), [Some(1_024), None]);
    assert_eq!(read(Api::Completions, "model", 1_025), [None, None]);
    assert_eq!(read(Api::SglangGenerate, "rid", 256), [None, Some(256)]);
    assert_eq!(read(Api::SglangGenerate, "rid", 257), [None, None]);
}

#[test]
fn a_session_is_named_by_the_words_of_real_clients() {
    const ID: &str = "0b1e7c1e-5a3c-4a55-9d5a-6a1f2b3c4d5e";
    let long = "k".repeat(257);
    let of_claude = format!("user_5f0c_account_8d11_session_{ID}");
    let as_json = format!(r#"{{\"device_id\":\"5f0c\",\"session_id\":\"{ID}\"}}"#);
    for (api, fields, session) in [
        (Api::Responses, format!(r#""prompt_cache_key":"{ID}""#), Some(ID)),
        (Api::ChatCompletions, format!(r#""prompt_cache_key":"{ID}","user":"u""#), Some(ID)),
        (Api::Messages, format!(r#""metadata":{{"user_id":"{of_claude}"}}"#), Some(ID)),
        (Api::Messages, format!(r#""metadata":{{"user_id":"{as_json}"}}"#), Some(ID)),
        (Api::Messages, r#""metadata":{"user_id":"a-person"}"#.to_owned(), None),
        (Api::Messages, r#""metadata":{"user_id":"a_session_"}"#.to_owned(), None),
        (Api::Messages, r#""metadata":{"user_id":{"session_id":"x"}}"#.to_owned(), None),
        (Api::Messages, r#""metadata":{"user_id":"{\"session_id\":7}"}"#.to_owned(), None),
        (Api::ChatCompletions, r#""metadata":"text""#.to_owned(), None),
        (Api::ChatCompletions, r#""metadata":{"user_id":null}"#.to_owned(), None),
        (Api::ChatCompletions, r#""user":"u","previous_response_id":"resp_1""#.to_owned(), None),
        (Api::ChatCompletions, r#""prompt_cache_key":"""#.to_owned(), None),
        (Api::ChatCompletions, r#""prompt_cache_key":7"#.to_owned(), None),
        (Api::ChatCompletions, format!(r#""prompt_cache_key":"{long}""#), None),
        (
            Api::Messages,
            format!(r#""metadata":{{"user_id":"{}_session_{ID}"}}"#, "u".repeat(1_024)),
            None,
        ),
    ] {
        let prompt = r#""messages":[{"role":"user","content":"c"}],"input":"c""#;
        let body = format!(r#"{{"model":"m",{fields},{prompt}}}"#);
        let found = scan(body.as_bytes(), api, Video::default()).unwrap().session;
        assert_eq!(found.as_deref(), session, "{body}");
    }
}

#[test]
fn a_completions_prompt_is_text_texts_or_tokens() {
    let prompt = |json: &str| {
        let body = format!(r#"{{"model":"m","prompt":{json}}}"#);
        pieces(&body, Api::Completions)
    };
    assert_eq!(prompt(r#""a\n""#), r"a\n");
    assert_eq!(prompt(r#"["a", "b"]"#), "a | b");
    assert_eq!(prompt("[1, 2]"), "tokens [1, 2]");
    assert_eq!(prompt("[[1], [2]]"), "tokens [[1], [2]]");
    assert_eq!(prompt("null"), "", "embeddings may stand for it");
}

/// The pieces of a body's prompt, or why it has none.
fn pieces(body: &str, api: Api) -> String {
    let piece = |piece: &Piece<'_>| {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        match *piece {
            Piece::Text(bytes) => text(bytes),
            Piece::Tokens(json) => format!("tokens {}", text(json)),
            Piece::Media(identity, tokens) => format!("{tokens} of {}", text(identity)),
        }
    };
    match scan(body.as_bytes(), api, Video::default()) {
        Ok(inference) => inference.prompt.iter().map(piece).collect::<Vec<_>>().join(" | "),
        Err(error) => error.to_string(),
    }
}

#[test]
fn each_api_has_its_prompt_where_its_server_looks_for_it() {
    let image = r#"{"type":"image_url","image_url":{"url":"http://a/b.png"}}"#;
    let png = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAABAAAAAMACAYAAAA=";
    let cases = [
        (Api::ChatCompletions, format!(r#"{{"messages":[{{"content":[{{"text":"t","type":"text"}},{image}],"role":"user"}},{{"role":"assistant","content":null,"tool_calls":[{{"id":1}}]}}],"tools":[{{}}]}}"#)),
        (Api::ChatCompletions, format!(r#"{{"messages":[{{"role":"user","content":[{{"type":"image_url","image_url":"{png}"}},{{"type":"video_url","video_url":{{"url":"v"}}}},{{"type":"input_audio","input_audio":{{"format":"wav","data":"AAAABBBB"}}}},{{"type":"odd","x":1}}]}}]}}"#)),
        (Api::RenderChat, r#"{"messages":[{"role":"user","content":"c"}]}"#.to_owned()),
        (Api::Embeddings, r#"{"input":["a","b"]}"#.to_owned()),
        (Api::Embeddings, r#"{"input":[1,2]}"#.to_owned()),
        (Api::Embeddings, r#"{"messages":[{"role":"user","content":"c"}]}"#.to_owned()),
        (Api::Responses, r#"{"input":[{"role":"user"}],"tools":[{"t":1}],"instructions":"be brief"}"#.to_owned()),
        (Api::Responses, r#"{"input":"hello","tools":null}"#.to_owned()),
        (Api::Conversations, r#"{"items":[{"type":"message"}]}"#.to_owned()),
        (Api::Images, r#"{"prompt":"a cat"}"#.to_owned()),
        (Api::Messages, r#"{"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","data":"AAAA"}}]}],"system":[{"type":"text","text":"x-anthropic-billing-header: 1"},{"type":"text","text":"sys"}],"tools":[{"t":1}]}"#.to_owned()),
        (Api::CountTokens, r#"{"messages":[{"role":"user","content":"c"}],"system":"s"}"#.to_owned()),
        (Api::Generate, r#"{"token_ids":[1,22,333],"sampling_params":{"max_tokens":5}}"#.to_owned()),
        (Api::SglangGenerate, r#"{"input_ids":[[1],[2]],"extra_key":"k"}"#.to_owned()),
        (Api::SglangGenerate, r#"{"text":"t"}"#.to_owned()),
    ];
    let told = cases.map(|(api, body)| format!("{api:?}: {}", pieces(&body, api)));
    insta::assert_snapshot!(told.join("\n").replace(png, "PNG"), @r#"
    ChatCompletions: [{}] | user | t | 225 of http://a/b.png | assistant | [{"id":1}]
    ChatCompletions: user | 768 of PNG | 4500 of v | 2 of AAAABBBB | {"type":"odd","x":1}
    RenderChat: user | c
    Embeddings: a | b
    Embeddings: tokens [1,2]
    Embeddings: user | c
    Responses: be brief | [{"t":1}] | [{"role":"user"}]
    Responses: hello
    Conversations: [{"type":"message"}]
    Images: a cat
    Messages: [{"t":1}] | sys | user | 225 of AAAA
    CountTokens: s | user | c
    Generate: tokens [1,22,333]
    SglangGenerate: tokens [[1],[2]]
    SglangGenerate: t
    "#);
}

#[test]
fn each_api_says_what_it_misses() {
    let apis = [Api::ChatCompletions, Api::Embeddings, Api::Images, Api::Messages, Api::Generate];
    insta::assert_snapshot!(apis.map(|api| pieces("{}", api)).join("\n"), @"
    invalid chat completions request: must have valid messages field
    invalid embeddings request: must have input field
    invalid images generations request: must have prompt field
    invalid messages request: must have valid messages field
    invalid generate request: must have token_ids field
    ");
    assert!(apis.map(|api| pieces("null", api)).iter().all(|said| said.contains("must have")));
    let anthropic = apis.map(Api::dialect).into_iter().filter(|it| *it == Dialect::Anthropic);
    assert_eq!(anthropic.count(), 1);
}

/// What stands for a prompt is the engine's to know: embeddings, a stored prompt, an earlier response.
#[test]
fn some_apis_have_requests_without_a_prompt() {
    for (api, body) in [
        (Api::Completions, r#"{"model":"m","prompt_embeds":"AAAA"}"#),
        (Api::Completions, r#"{"model":"m","prompt":null}"#),
        (Api::Responses, r#"{"prompt":{"id":"p"},"previous_response_id":"r"}"#),
        (Api::Conversations, "{}"),
        (Api::SglangGenerate, r#"{"input_embeds":[[0.5]]}"#),
        (Api::Other, r#"{"query":"q"}"#),
    ] {
        let inference = scan(body.as_bytes(), api, Video::default()).unwrap();
        assert_eq!(inference.prompt, [], "{body}");
    }
}

/// The parser of most engines is Python's.
#[test]
fn what_python_takes_is_taken() {
    fn read(body: &[u8]) -> Result<Inference<'_>, BodyError> {
        scan(body, Api::ChatCompletions, Video::default())
    }
    let chat = |x: &str| format!(r#"{{"messages":[{{"role":"u"}}],"x":{x}}}"#);
    for x in ["NaN", "[Infinity,-Infinity,-1]", "{\"a\":NaN}"] {
        assert!(read(chat(x).as_bytes()).is_ok(), "{x}");
    }
    for x in ["Nan", "Infinit", "-Infinite", "+Infinity", "-NaN", "nan"] {
        assert!(read(chat(x).as_bytes()).is_err(), "{x}");
    }
    let marked = [b"\xef\xbb\xbf".as_slice(), br#"{"messages":[{"role":"u"}]}"#].concat();
    let inference = read(&marked).unwrap();
    let mut named = marked.clone();
    inference.place.put(&mut named, "m");
    let expected = [b"\xef\xbb\xbf".as_slice(), br#"{"model":"m","messages":[{"role":"u"}]}"#];
    assert_eq!(named, expected.concat());
    assert!(read(b"\xef\xbb\xbf\xef\xbb\xbf{}").is_err(), "once");
    // The document is one level more.
    let nested = |depth: usize| {
        chat(&format!("{}{}", "[{\"a\":".repeat(depth / 2) + "1", "}]".repeat(depth / 2)))
    };
    assert!(read(nested(998).as_bytes()).is_ok());
    assert!(matches!(read(nested(1_000).as_bytes()), Err(BodyError::TooDeep { .. })));
    assert!(matches!(read(&[b'['; 1 << 20]), Err(BodyError::TooDeep { .. })));
}

#[test]
fn a_wide_body_is_told_from_json() {
    for body in ["{}", "[1]", " {", "\u{feff}{}", "é", "{", ""] {
        assert!(!is_wide(body.as_bytes()), "{body}");
        let units: Vec<u16> = body.encode_utf16().collect();
        let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        if body.is_ascii() && !body.is_empty() {
            assert!(is_wide(&little) && is_wide(&big), "{body}");
        }
    }
    assert!(is_wide(b"\xff\xfe{\0") && is_wide(b"\xfe\xff\0{"));
}

#[test]
fn limits_are_where_each_api_has_them() {
    let limit = |api, body: &str| {
        let read = scan(body.as_bytes(), api, Video::default()).unwrap();
        format!("{:?} {:?}", read.max_tokens, read.cache_salt.map(<[u8]>::len))
    };
    let responses = r#"{"input":"i","max_output_tokens":7,"cache_salt":"salt"}"#;
    assert_eq!(limit(Api::Responses, responses), "Some(7) Some(4)");
    let generate = r#"{"token_ids":[1],"sampling_params":{"max_tokens":8.0}}"#;
    assert_eq!(limit(Api::Generate, generate), "Some(8) None");
    let sglang = r#"{"text":"t","sampling_params":{"max_new_tokens":9},"extra_key":"k"}"#;
    assert_eq!(limit(Api::SglangGenerate, sglang), "Some(9) Some(1)");
}

/// Only the model's own bytes change, wherever it stands and however it is written.
#[test]
fn another_model_is_put_in_place() {
    let put = |body: &str| {
        let place = scan(body.as_bytes(), Api::Completions, Video::default()).unwrap().place;
        let mut bytes = body.as_bytes().to_vec();
        place.put(&mut bytes, "new \"name\"");
        let text = String::from_utf8(bytes).unwrap();
        let read = scan(text.as_bytes(), Api::Completions, Video::default());
        assert_eq!(read.unwrap().model.as_deref(), Some("new \"name\""), "{text}");
        text
    };
    let bodies = [
        r#"{"model":"a","prompt":"p","n":1.50}"#,
        r#"{"prompt":"\u0070 \"model\":\"a\"", "model" : "a"}"#,
        r#"{"model":"first","prompt":"p","model":null}"#,
        r#"{"model":["a"],"prompt":"p"}"#,
        r#" { "prompt":"p"}"#,
    ];
    insta::assert_snapshot!(bodies.map(put).join("\n"), @r#"
    {"model":"new \"name\"","prompt":"p","n":1.50}
    {"prompt":"\u0070 \"model\":\"a\"", "model" : "new \"name\""}
    {"model":"first","prompt":"p","model":"new \"name\""}
    {"model":"new \"name\"","prompt":"p"}
     {"model":"new \"name\"", "prompt":"p"}
    "#);
}

/// 64 tokens are a block, however many digits they have: as the engine's cache counts them.
#[test]
fn token_ids_count_as_tokens() {
    let chain = |json: &str| {
        let mut chainer = Chainer::new(&Seed::default(), 99);
        Piece::Tokens(json.as_bytes()).chain(&mut chainer);
        chainer.finish()
    };
    let list = |ids: std::ops::Range<u32>| {
        let ids: Vec<String> = ids.map(|id| (id * 1000).to_string()).collect();
        format!("[{}]", ids.join(", "))
    };
    assert_eq!(chain(&list(0..128)).blocks, 2);
    assert_eq!(chain(&list(0..129)).blocks, 3);
    assert_eq!(chain(&list(0..64)).hashes[0], chain(&list(0..100)).hashes[0]);
    assert_eq!(chain("[1,2]"), chain("[[1],\n[2]]"));
    assert_ne!(chain("[1,2]"), chain("[12]"));
    let mut bytes = Chainer::new(&Seed::default(), 99);
    bytes.update(&[1, 0, 0, 0, 2, 1, 0, 0]);
    assert_eq!(chain("[1, 258]"), bytes.finish());
}

#[test]
fn errors_say_what_was_expected_and_found() {
    let say = |body: &str| {
        scan(body.as_bytes(), Api::Completions, Video::default()).unwrap_err().to_string()
    };
    let deep = |levels| {
        format!(r#"{{"model":"m","prompt":"p","x":{}{}}}"#, "[".repeat(levels), "]".repeat(levels))
    };
    insta::assert_snapshot!([
        say(""), say("[1]"), say("{\"a\":01}"), say("{\"a\":nul}"), say("{\"a\":\"x\ny\"}"), say("{\"a\" 1}"),
        say("{\"a\":1} x"), say("{\"a\":1.}"), say(r#"{"\u12g4":"a"}"#), say(r#"{"a":"#),
        say(&deep(1_000)), say("not json"), say("{'a':1}"), say("\"text\""), say("\u{1}"),
        scan(b"\xff", Api::Completions, Video::default()).unwrap_err().to_string(),
    ].join("\n"), @r#"
    error unmarshaling request bodyMap: unexpected end of JSON input (byte 0)
    error unmarshaling request bodyMap: json: cannot unmarshal array into Go value of type map[string]interface {}
    error unmarshaling request bodyMap: invalid character '1' after object key:value pair (byte 6)
    error unmarshaling request bodyMap: invalid character '}' in literal null (expecting 'l') (byte 8)
    error unmarshaling request bodyMap: invalid character '\n' in string literal (byte 7)
    error unmarshaling request bodyMap: invalid character '1' after object key (byte 5)
    error unmarshaling request bodyMap: invalid character 'x' after top-level value (byte 8)
    error unmarshaling request bodyMap: invalid character '}' after decimal point in numeric literal (byte 7)
    error unmarshaling request bodyMap: invalid character 'g' in \u hexadecimal character escape (byte 6)
    error unmarshaling request bodyMap: unexpected end of JSON input (byte 5)
    error unmarshaling request bodyMap: exceeded max depth (byte 1029)
    error unmarshaling request bodyMap: invalid character 'o' in literal null (expecting 'u') (byte 1)
    error unmarshaling request bodyMap: invalid character '\'' looking for beginning of object key string (byte 1)
    error unmarshaling request bodyMap: json: cannot unmarshal string into Go value of type map[string]interface {}
    error unmarshaling request bodyMap: invalid character '\x01' looking for beginning of value (byte 0)
    error unmarshaling request bodyMap: invalid character 'ÿ' looking for beginning of value (byte 0)
    "#);
    assert!(scan(deep(999).as_bytes(), Api::Completions, Video::default()).is_ok());
}

/// A JSON text that is valid but for an accident now and then.
fn json(u: &mut Unstructured<'_>, depth: u32, out: &mut String) -> arbitrary::Result<()> {
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

/// True for a body with what Python takes and serde_json does not: a byte order mark, words for numbers
/// that are none.
fn is_pythonic(body: &[u8]) -> bool {
    let body = String::from_utf8_lossy(body);
    body.starts_with('\u{feff}') || body.contains("NaN") || body.contains("Infinity")
}

/// True for an error in what a backslash spells. Of a `\u` serde_json reads four bytes before it looks at one.
fn is_of_an_escape(error: &serde_json::Error, body: &[u8]) -> bool {
    let tail = body.get(body.len().saturating_sub(5)..).unwrap_or_default();
    let is_cut = error.is_eof() && tail.windows(2).any(|two| two == b"\\u");
    is_cut || error.to_string().starts_with("invalid escape")
}

fn agrees_with_serde_json(body: &[u8]) {
    if is_pythonic(body) {
        return;
    }
    let ours = match scan(body, Api::ChatCompletions, Video::default()) {
        // By intent: another limit of depth.
        Err(BodyError::TooDeep { .. }) => return,
        Err(BodyError::Malformed { .. } | BodyError::Literal { .. }) => false,
        Ok(_) | Err(BodyError::NotAnObject { .. } | BodyError::NoPrompt(_)) => true,
    };
    let theirs = serde_json::from_slice::<IgnoredAny>(body);
    // By intent: an escape that means nothing is left to the engine.
    if theirs.as_ref().is_err_and(|error| is_of_an_escape(error, body)) {
        return;
    }
    assert_eq!(ours, theirs.is_ok(), "{:?}", String::from_utf8_lossy(body));
}

/// The whole document but for escapes is checked as strictly as serde_json checks what it skips, which like
/// this scanner looks neither for UTF-8 nor for pairs of surrogates.
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
