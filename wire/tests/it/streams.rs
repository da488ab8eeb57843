//! Streams as engines send them: their first content, their output and their errors, wherever the
//! chunks are cut.

use std::collections::BTreeMap;

use wire::body::OutputWishes;
use wire::response::{Kind, OutputTokens, Reader};

/// A stream of which the first content is known: what comes before it, the event that brings it, and
/// what follows.
struct Told {
    before: &'static str,
    first: &'static str,
    after: &'static str,
    /// Events with output in `after`.
    outputs: u32,
}

const CHAT: Told = Told {
    before: "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}],\"prompt_token_ids\":[1,2],\"prompt_text\":\"hi\"}\n\n",
    first: "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"},\"finish_reason\":null}]}\n\n",
    after: "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" you, error 7 of usage failed\"}}]}\n\n\
        : keep-alive\n\n\
        data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n\
        data: [DONE]\n\n",
    outputs: 1,
};

/// Chat, whose first content is in another field.
const fn chat(first: &'static str) -> Told {
    Told { first, after: "data: [DONE]\n\n", outputs: 0, ..CHAT }
}

const REASONING: Told = chat("data: {\"choices\":[{\"delta\":{\"reasoning\":\"so\"}}]}\n\n");
const OLD_REASONING: Told =
    chat("data: {\"choices\":[{\"delta\":{\"content\":null,\"reasoning_content\":\"so\"}}]}\n\n");
const TOOL: Told = chat(
    "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"t\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]}}]}\n\n",
);
const AUDIO: Told =
    chat("data: {\"choices\":[{\"delta\":{\"audio\":{\"id\":\"a\",\"data\":\"AAAA\"}}}]}\n\n");
const TOKEN_IDS: Told = chat("data: {\"choices\":[{\"index\":0,\"token_ids\":[7]}]}\n\n");
const SECOND_CHOICE: Told = chat(
    "data: {\"choices\":[{\"index\":0,\"delta\":{}},{\"index\":1,\"delta\":{\"content\":\"x\"}}]}\n\n",
);

const COMPLETIONS: Told = Told {
    before: "\u{feff}: comment\n\nretry: 10\n\nid: 7\n\ndata: {\"choices\":[{\"text\":\"\",\"finish_reason\":null}]}\n\n",
    first: "data:{\"choices\":[{\"text\":\"\\n\"}]}\n\n",
    after: "data:{\"choices\":[{\"text\":\"a\"}]}\n\ndata: {\"choices\":[{\"text\":\"b\"}]}\n\n",
    outputs: 2,
};

const RESPONSES: Told = Told {
    before: "event: response.created\ndata: {\"response\":{\"id\":\"r\",\"error\":null,\"tools\":[{\"delta\":\"x\"}],\"usage\":null},\"type\":\"response.created\"}\n\n\
        event: response.in_progress\ndata: {\"type\":\"response.in_progress\"}\n\n\
        event: response.output_item.added\ndata: {\"item\":{\"type\":\"message\",\"content\":[]},\"type\":\"response.output_item.added\"}\n\n\
        event: response.content_part.added\ndata: {\"part\":{\"text\":\"\"},\"type\":\"response.content_part.added\"}\n\n",
    first: "event: response.output_text.delta\ndata: {\"delta\":\"x\",\"type\":\"response.output_text.delta\"}\n\n",
    after: "event: response.output_text.delta\ndata: {\"delta\":\"x\",\"type\":\"response.output_text.delta\"}\n\n\
        event: response.output_text.done\ndata: {\"text\":\"xx\",\"type\":\"response.output_text.done\"}\n\n\
        event: response.completed\ndata: {\"response\":{\"error\":null,\"status\":\"completed\"},\"type\":\"response.completed\"}\n\n",
    outputs: 1,
};

const MESSAGES: Told = Told {
    before: "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"role\":\"assistant\",\"content\":[],\"usage\":{\"input_tokens\":3}}}\n\n\
        event: ping\ndata: {\"type\": \"ping\"}\n\n\
        event: content_block_start\ndata: {\"type\":\"content_block_start\",\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    first: "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"x\"}}\n\n",
    after: "event: ping\ndata: {\"type\": \"ping\"}\n\n\
        event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"x\"}}\n\n\
        event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n\
        event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n\
        event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    outputs: 1,
};

const TOOL_USE: Told = Told {
    first: "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"content_block\":{\"type\":\"tool_use\",\"name\":\"f\"}}\n\n",
    ..MESSAGES
};

const SGLANG: Told = Told {
    before: "data: {\"text\":\"\",\"output_ids\":[],\"meta_info\":{\"prompt_tokens\":3,\"completion_tokens\":0}}\n\n",
    first: "data: {\"text\":\"x\",\"meta_info\":{\"id\":\"1\"}}\n\n",
    after: "data: {\"text\":\"xy\",\"meta_info\":{\"id\":\"1\"}}\n\ndata: [DONE]\n\n",
    outputs: 1,
};

const TGI: Told = Told {
    before: ":\n\n",
    first: "data:{\"index\":1,\"token\":{\"id\":5,\"text\":\" x\",\"special\":false},\"generated_text\":null}\n\n",
    after: "",
    outputs: 0,
};

const UNKNOWN: Told = Told {
    before: ": hello\n\nevent: ping\ndata: {}\n\n",
    first: "data: some text\n\n",
    after: "data: more text\n\ndata: {\"tokens\":[\"x\"]}\n\n",
    outputs: 2,
};

const ALL: [Told; 14] = [
    CHAT,
    REASONING,
    OLD_REASONING,
    TOOL,
    AUDIO,
    TOKEN_IDS,
    SECOND_CHOICE,
    COMPLETIONS,
    RESPONSES,
    MESSAGES,
    TOOL_USE,
    SGLANG,
    TGI,
    UNKNOWN,
];

fn ended(kind: Kind, stream: &str, cut: usize) -> Reader {
    let mut reader = Reader::new(kind);
    let (head, rest) = stream.as_bytes().split_at(cut);
    reader.push(head);
    reader.push(rest);
    reader.end();
    reader
}

/// Line ends as servers write them.
const LINE_ENDS: [&str; 3] = ["\n", "\r\n", "\r"];

#[test]
fn the_first_content_is_found_in_every_dialect() {
    for Told { before, first, after, outputs } in ALL {
        for line_end in LINE_ENDS {
            let [before, first, after] =
                [before, first, after].map(|part| part.replace('\n', line_end));
            let mut reader = Reader::new(Kind::Events);
            for byte in before.as_bytes() {
                reader.push(&[*byte]);
                assert!(!reader.has_content(), "no content is in {before}");
            }
            reader.push(first.as_bytes());
            assert!(reader.has_content(), "{first}");
            let stream = format!("{before}{first}{after}");
            for cut in (0..=stream.len()).filter(|cut| stream.is_char_boundary(*cut)) {
                let reader = ended(Kind::Events, &stream, cut);
                assert_eq!(reader.events(), 1 + outputs, "{stream} cut at {cut}");
                assert_eq!(reader.error(), None, "{stream} cut at {cut}");
            }
        }
    }
}

/// As the EPP's own tests have them; and as the standard allows.
#[test]
fn data_over_several_lines_are_one_document_or_many() {
    let many =
        "data: {}\ndata: {\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":10}}\ndata: [DONE]";
    let one = "data: {\ndata:   \"usage\": {\ndata:     \"prompt_tokens\": 7,\ndata:     \"completion_tokens\": 10}\ndata: }\n\n";
    for before in ["", CHAT.first] {
        for stream in [many, one] {
            let stream = format!("{before}{stream}");
            for cut in 0..stream.len() {
                let usage = ended(Kind::Events, &stream, cut).usage().unwrap();
                let counts = (usage.prompt_tokens, usage.output_tokens);
                assert_eq!(counts, (7, 10), "{stream} cut at {cut}");
            }
        }
    }
}

#[test]
fn lines_of_json_are_events_too() {
    let stream = "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":false}\n\
        {\"message\":{\"role\":\"assistant\",\"content\":\"Hi\"},\"done\":false}\n\
        {\"response\":\"x\",\"done\":false}\n\n\
        {\"done\":true,\"prompt_eval_count\":26,\"eval_count\":298}\n";
    for cut in 0..stream.len() {
        let reader = ended(Kind::Lines, stream, cut);
        let usage = reader.usage().unwrap();
        assert_eq!((usage.prompt_tokens, usage.output_tokens), (26, 298), "cut at {cut}");
        assert_eq!((reader.events(), reader.error()), (2, None), "cut at {cut}");
    }
    assert_eq!(ended(Kind::Lines, "{\"error\":\"no such model\"}\n", 3).error(), Some(500));
}

#[test]
fn an_error_is_told_whatever_its_form() {
    let errors = [
        ("data: {\"error\":{\"code\":500}}\n\n", 500),
        ("data:{\"error\": \"x\"}\n\n", 500),
        ("data: { \"id\" : 1, \"error\" : { \"message\" : \"}\", \"code\" : 400 } }\n\n", 400),
        (
            "data: {\"error\":{\"code\":\"server_error\",\"type\":\"invalid_request_error\"}}\n\n",
            400,
        ),
        ("data: {\"object\":\"error\",\"message\":\"no\",\"code\":503}\n\n", 503),
        ("data: {\"code\":503,\"object\":\"error\"}\n\n", 503),
        ("event: error\ndata: {}\n\n", 500),
        ("event:error\ndata: something\n\n", 500),
        ("event: error\n\n", 500),
        (
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n",
            529,
        ),
        ("data: {\"error\":{\"type\":\"internal_error\"},\"type\":\"error\"}\n\n", 500),
        ("event: response.failed\ndata: {}\n\n", 500),
        ("data: {\"response\":{\"error\":{\"code\":\"x\"}},\"type\":\"response.failed\"}\n\n", 500),
        ("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"error\"}]}\n\n", 500),
    ];
    let none = [
        "data: {\"error\":null,\"choices\":[]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"{\\\"error\\\":1}\"}}]}\n\n",
        "data: {\"choices\":[],\"metadata\":{\"error\":{\"code\":500}}}\n\n",
        "data: {\"code\":500,\"choices\":[]}\n\n",
    ];
    for (error, status) in errors {
        for line_end in LINE_ENDS {
            for before in ["", CHAT.before, CHAT.first, RESPONSES.first] {
                let stream = format!("{before}{error}data: [DONE]\n\n").replace('\n', line_end);
                for cut in 0..stream.len() {
                    let reader = ended(Kind::Events, &stream, cut);
                    assert_eq!(reader.error(), Some(status), "{stream} cut at {cut}");
                    let has_content = before == CHAT.first || before == RESPONSES.first;
                    assert_eq!(reader.has_content(), has_content, "{stream} cut at {cut}");
                }
            }
        }
    }
    for event in none {
        for before in ["", CHAT.first] {
            assert_eq!(
                ended(Kind::Events, &format!("{before}{event}"), 0).error(),
                None,
                "{event}"
            );
        }
    }
}

#[test]
fn a_whole_answer_may_be_an_error_too() {
    for (body, error) in [
        (r#"{"error":{"message":"no","code":404}}"#, Some(404)),
        (r#"{"object":"error","message":"no"}"#, Some(500)),
        (r#"{"type":"error","error":{"type":"rate_limit_error"}}"#, Some(429)),
        (r#"{"error":"no"}"#, Some(500)),
        (r#"{"id":"r","error":null,"output":[]}"#, None),
        (r#"{"choices":[{"message":{"content":"error"}}],"error":""}"#, None),
    ] {
        for cut in 0..body.len() {
            assert_eq!(ended(Kind::Json, body, cut).error(), error, "{body} cut at {cut}");
        }
    }
}

const NO_WISHES: OutputWishes = OutputWishes { tokens_max: None, hides_some: false };

fn estimate(tokens: u32) -> OutputTokens {
    OutputTokens { tokens, is_estimate: true }
}

#[test]
fn what_says_no_usage_is_charged_all_the_same() {
    let event = |text: &str| {
        format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
    };
    let of = |kind, body: &str, wishes| ended(kind, body, 0).output_tokens(wishes);
    let single = event("four").repeat(100);
    assert_eq!(of(Kind::Events, &single, NO_WISHES), estimate(100));
    let triple = event("four".repeat(3).as_str()).repeat(100);
    assert_eq!(of(Kind::Events, &triple, NO_WISHES), estimate(300), "three tokens an event");
    let short = event("a").repeat(100);
    assert_eq!(of(Kind::Events, &short, NO_WISHES), estimate(100), "a token has its price");
    let limit = OutputWishes { tokens_max: Some(40), hides_some: false };
    assert_eq!(of(Kind::Events, &single, limit), estimate(40), "no more than was allowed");
    let hidden = OutputWishes { tokens_max: Some(900), hides_some: true };
    assert_eq!(of(Kind::Events, CHAT.before, hidden), estimate(900), "what is hidden was computed");
    let json = r#"{"choices":[{"message":{"content":"12345678"}},{"message":{"content":"1234"}}]}"#;
    assert_eq!(of(Kind::Json, json, NO_WISHES), estimate(3));
    assert_eq!(of(Kind::Json, "[[1,2,3]]\n\n\n", NO_WISHES), estimate(3), "of no known form");
    let zipped = "z".repeat(300);
    assert_eq!(of(Kind::Encoded, &zipped, hidden), estimate(900));
    assert_eq!(of(Kind::Encoded, &zipped, NO_WISHES), estimate(600));
    assert_eq!(of(Kind::Other, &"s".repeat(64_000), NO_WISHES), estimate(1_000));
    for kind in [Kind::Json, Kind::Events, Kind::Lines, Kind::Encoded, Kind::Other] {
        assert_eq!(of(kind, "", NO_WISHES), estimate(0), "nothing came: {kind:?}");
    }
}

#[test]
fn a_usage_before_the_output_hides_none_of_it() {
    let start =
        r#"{"type":"message_start","message":{"usage":{"input_tokens":9,"output_tokens":1}}}"#;
    let delta =
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"four"}}"#;
    let stop = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":60}}"#;
    let event = |data: &str| format!("event: e\ndata: {data}\n\n");
    let left = format!("{}{}", event(start), event(delta).repeat(50));
    let told = |tokens| OutputTokens { tokens, is_estimate: false };
    let of = |body: &str| ended(Kind::Events, body, 0).output_tokens(NO_WISHES);
    assert_eq!(of(&left), estimate(50), "left by its client");
    assert_eq!(of(&format!("{left}{}", event(stop))), told(60));
    assert_eq!(of(&event(start)), told(1), "before any output");
    let continuous = |tokens: u32| {
        format!(
            "data: {{\"choices\":[{{\"delta\":{{\"content\":\"four\"}}}}],\"usage\":{{\"prompt_tokens\":9,\"completion_tokens\":{tokens}}}}}\n\n"
        )
    };
    assert_eq!(of(&(1..=50).map(continuous).collect::<String>()), told(50), "counted all along");
}

#[test]
fn the_headers_tell_the_form() {
    let kind = |kind: &str, encoding: Option<&str>| {
        Kind::from_headers(Some(kind.as_bytes()), encoding.map(str::as_bytes))
    };
    for (name, expected) in [
        ("application/json", Kind::Json),
        ("Application/JSON; charset=utf-8", Kind::Json),
        ("text/event-stream;charset=utf-8", Kind::Events),
        ("application/x-ndjson", Kind::Lines),
        ("text/plain", Kind::Other),
        ("", Kind::Other),
    ] {
        assert_eq!(kind(name, None), expected, "{name}");
        assert_eq!(kind(name, Some("identity")), expected, "{name}");
    }
    assert_eq!(kind("text/event-stream", Some("gzip")), Kind::Encoded);
    assert_eq!(kind("audio/wav", Some("gzip")), Kind::Other);
    assert_eq!(Kind::from_headers(None, None), Kind::Other);
    let mut zipped = Reader::new(Kind::Encoded);
    zipped.push(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
    assert!(!zipped.has_content(), "the encoding's own header is no content");
    zipped.pass(30);
    assert!(zipped.has_content());
}

/// What a real vLLM sent, frame by frame: the first content is the first event with a token, and what
/// is in frames before it is not.
#[test]
fn a_real_servers_streams_are_understood() {
    let text = include_str!("../../../sim/tests/data/vllm-0.32.0-streams.json");
    let streams: BTreeMap<String, Vec<(f64, String)>> = serde_json::from_str(text).unwrap();
    let told = streams.iter().map(|(name, frames)| {
        let mut reader = Reader::new(Kind::Events);
        let mut first = None;
        for (index, (_, body)) in frames.iter().enumerate() {
            reader.push(body.as_bytes());
            if reader.has_content() && first.is_none() {
                first = Some(index);
            }
        }
        reader.end();
        assert_eq!(reader.error(), None);
        let usage = reader.usage().map(|it| (it.prompt_tokens, it.output_tokens, it.cached_tokens));
        format!(
            "{name}: content in {first:?} of {}, {} outputs, {usage:?}",
            frames.len(),
            reader.events()
        )
    });
    insta::assert_snapshot!(told.collect::<Vec<_>>().join("\n"), @"
    chat: content in Some(2) of 6, 3 outputs, None
    chat with a tool: content in Some(2) of 6, 3 outputs, None
    chat with reasoning and usage: content in Some(2) of 8, 4 outputs, Some((914, 4, Some(896)))
    chat without its reasoning: content in None of 4, 0 outputs, None
    completions: content in Some(1) of 6, 4 outputs, None
    generate: content in Some(1) of 6, 4 outputs, None
    messages: content in Some(3) of 10, 4 outputs, Some((914, 4, Some(896)))
    messages with a tool: content in Some(2) of 13, 8 outputs, Some((15, 60, Some(0)))
    messages with reasoning: content in Some(1) of 9, 5 outputs, Some((914, 4, Some(896)))
    responses: content in Some(3) of 11, 4 outputs, Some((914, 4, Some(896)))
    responses with a tool: content in Some(3) of 13, 7 outputs, Some((15, 40, Some(0)))
    ");
}
