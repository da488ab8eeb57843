//! Streams of which most events pass unread: what is told of them is what a reader of all tells.

use std::collections::BTreeMap;

use arbtest::arbitrary::{Result, Unstructured};
use wire::body::OutputWishes;
use wire::response::{Kind, Reader};

/// A server's stream: its events around a text, and what follows the last.
struct Server {
    name: &'static str,
    before: &'static [&'static str],
    /// An event with a token, whose text stands in the place of `$`.
    event: &'static str,
    /// An event with the last token and the reason of the end, if they are one.
    last: &'static [&'static str],
    after: &'static [&'static str],
}

const SERVERS: [Server; 5] = [
    Server {
        name: "vLLM 0.32, chat",
        before: &[
            "data: {\"id\":\"chatcmpl-9ebb085fd5c22b93\",\"object\":\"chat.completion.chunk\",\"created\":1795998393,\"model\":\"tiny\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}],\"prompt_token_ids\":null,\"prompt_text\":null}\n\n",
        ],
        event: "data: {\"id\":\"chatcmpl-9ebb085fd5c22b93\",\"object\":\"chat.completion.chunk\",\"created\":1795998393,\"model\":\"tiny\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"$\"},\"logprobs\":null,\"finish_reason\":null,\"token_ids\":null}]}\n\n",
        last: &[
            "data: {\"id\":\"chatcmpl-9ebb085fd5c22b93\",\"object\":\"chat.completion.chunk\",\"created\":1795998393,\"model\":\"tiny\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"$\"},\"logprobs\":null,\"finish_reason\":\"stop\",\"stop_reason\":null,\"token_ids\":null}]}\n\n",
        ],
        after: &[
            "data: {\"id\":\"chatcmpl-9ebb085fd5c22b93\",\"object\":\"chat.completion.chunk\",\"created\":1795998393,\"model\":\"tiny\",\"choices\":[],\"usage\":{\"prompt_tokens\":914,\"total_tokens\":1018,\"completion_tokens\":104}}\n\n",
            "data: [DONE]\n\n",
        ],
    },
    Server {
        name: "vLLM 0.11, chat",
        before: &[
            "data: {\"id\":\"chatcmpl-9e\",\"object\":\"chat.completion.chunk\",\"created\":1795998393,\"model\":\"tiny\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n",
        ],
        event: "data: {\"id\":\"chatcmpl-9e\",\"object\":\"chat.completion.chunk\",\"created\":1795998393,\"model\":\"tiny\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"$\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n",
        last: &[
            "data: {\"id\":\"chatcmpl-9e\",\"object\":\"chat.completion.chunk\",\"created\":1795998393,\"model\":\"tiny\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"$\"},\"logprobs\":null,\"finish_reason\":\"length\",\"stop_reason\":null}]}\n\n",
        ],
        // As long as an event with a token of four bytes.
        after: &[
            "data: {\"id\":\"chatcmpl-9e\",\"object\":\"chat.completion.chunk\",\"created\":1795998393,\"model\":\"tiny\",\"choices\":[],\"usage\":{\"prompt_tokens\":914,\"total_tokens\":1018,\"completion_tokens\":104}}\n\n",
            "data: [DONE]\n\n",
        ],
    },
    Server {
        name: "SGLang, chat",
        before: &[
            "data: {\"id\":\"4f\",\"object\":\"chat.completion.chunk\",\"created\":1795998393,\"model\":\"tiny\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"reasoning_content\":null,\"tool_calls\":null},\"logprobs\":null,\"finish_reason\":null,\"matched_stop\":null}],\"usage\":null}\n\n",
        ],
        event: "data: {\"id\":\"4f\",\"object\":\"chat.completion.chunk\",\"created\":1795998393,\"model\":\"tiny\",\"choices\":[{\"index\":0,\"delta\":{\"role\":null,\"content\":\"$\",\"reasoning_content\":null,\"tool_calls\":null},\"logprobs\":null,\"finish_reason\":null,\"matched_stop\":null}],\"usage\":null}\n\n",
        last: &[],
        after: &[
            "data: {\"id\":\"4f\",\"object\":\"chat.completion.chunk\",\"created\":1795998393,\"model\":\"tiny\",\"choices\":[{\"index\":0,\"delta\":{\"role\":null,\"content\":null,\"reasoning_content\":null,\"tool_calls\":null},\"logprobs\":null,\"finish_reason\":\"length\",\"matched_stop\":null}],\"usage\":null}\n\n",
            "data: {\"id\":\"4f\",\"object\":\"chat.completion.chunk\",\"created\":1795998393,\"model\":\"tiny\",\"choices\":[],\"usage\":{\"prompt_tokens\":914,\"total_tokens\":1018,\"completion_tokens\":104,\"prompt_tokens_details\":null}}\n\n",
            "data: [DONE]\n\n",
        ],
    },
    Server {
        name: "vLLM 0.32, messages",
        before: &[
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"chatcmpl-9f\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[],\"model\":\"tiny\",\"usage\":{\"input_tokens\":914,\"output_tokens\":0}}}\n\n",
            "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"content_block\":{\"type\":\"text\",\"text\":\"\"},\"index\":0}\n\n",
        ],
        event: "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"$\"},\"index\":0}\n\n",
        last: &[],
        after: &[
            "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
            "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"max_tokens\",\"stop_sequence\":null},\"usage\":{\"input_tokens\":18,\"output_tokens\":104}}\n\n",
            "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        ],
    },
    Server {
        name: "vLLM 0.32, with usage in each event",
        before: &[],
        event: "data: {\"choices\":[{\"index\":0,\"text\":\"$\",\"finish_reason\":null}],\"usage\":{\"prompt_tokens\":914,\"completion_tokens\":7}}\n\n",
        last: &[],
        after: &[
            "data: {\"choices\":[{\"index\":0,\"text\":\"four\",\"finish_reason\":null}],\"usage\":{\"prompt_tokens\":914,\"completion_tokens\":8}}\n\n",
        ],
    },
];

/// Events that engines end a stream with that they cannot finish.
const ERRORS: [&str; 3] = [
    "data: {\"error\":{\"message\":\"EngineCore encountered an issue. See stack trace (above) for the root cause.\",\"type\":\"InternalServerError\",\"param\":null,\"code\":500}}\n\n",
    "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n",
    "data: {\"error\":{\"code\":503}}\n\n",
];

/// Returns a token: as a rule a short word, now and then more.
fn token(u: &mut Unstructured<'_>) -> Result<String> {
    let bytes = if u.ratio(1_u8, 20)? { u.int_in_range(0..=60)? } else { u.int_in_range(1..=9)? };
    Ok("x".repeat(bytes))
}

fn stream(u: &mut Unstructured<'_>, server: &Server, tokens: usize) -> Result<Vec<String>> {
    let mut events: Vec<String> = server.before.iter().map(|it| (*it).to_owned()).collect();
    for number in 0..tokens {
        events.push(server.event.replace('$', &token(u)?));
        if number > 0 && u.ratio(1_u8, 30)? {
            events.push(": keep-alive\n\n".to_owned());
        }
    }
    let tokens_end = events.len();
    for event in server.last {
        events.push(event.replace('$', &token(u)?));
    }
    if u.ratio(1_u8, 4)? {
        events.push((*u.choose(&ERRORS)?).to_owned());
        events.push("data: [DONE]\n\n".to_owned());
    } else {
        events.extend(server.after.iter().map(|it| (*it).to_owned()));
    }
    // Several events may come as one, and a token's in pieces. A piece of another that is as long as a token's
    // event, to the byte, would be missed as such an event is.
    let mut chunks: Vec<String> = Vec::new();
    for (number, event) in events.into_iter().enumerate() {
        let is_token = number < tokens_end;
        match chunks.last_mut() {
            Some(last) if u.ratio(1_u8, 20)? => last.push_str(&event),
            _ if is_token && u.ratio(1_u8, 20)? => {
                let (head, rest) = event.split_at(u.int_in_range(0..=event.len())?);
                chunks.extend([head.to_owned(), rest.to_owned()]);
            }
            _ => chunks.push(event),
        }
    }
    Ok(chunks)
}

/// All that is told of a stream, and how many of its chunks were read. Of SGLang's the end is as long as a token,
/// and counts as one where it passes unread: the number of events may be one more.
fn told(chunks: &[String], may_pass: bool) -> (String, usize) {
    let mut reader = Reader::new(Kind::Events);
    let mut read = 0;
    for chunk in chunks {
        if !(may_pass && reader.pass_usual(chunk.len())) {
            reader.push(chunk.as_bytes());
            read += 1;
        }
    }
    reader.end();
    // Which events an estimate samples is another matter where some pass unread.
    let tokens = reader.output_tokens(OutputWishes::default());
    let tokens = (!tokens.is_estimate).then_some(tokens);
    let (content, events, error) = (reader.has_content(), reader.events(), reader.error());
    let is_of_sglang = chunks.iter().any(|chunk| chunk.contains("matched_stop"));
    let events = (!is_of_sglang).then_some(events);
    let usage = reader.usage();
    (format!("{content} {events:?} {error:?} {usage:?} {tokens:?} {}", reader.bytes()), read)
}

#[test]
fn an_event_that_passes_unread_would_have_told_nothing() {
    arbtest::arbtest(|u| {
        let server = u.choose(&SERVERS)?;
        let tokens = u.int_in_range(0..=120)?;
        let chunks = stream(u, server, tokens)?;
        let (all, _) = told(&chunks, false);
        let (some, _) = told(&chunks, true);
        assert_eq!(some, all, "{}: {chunks:#?}", server.name);
        Ok(())
    });
}

#[test]
fn most_events_of_a_long_answer_pass_unread() {
    for server in &SERVERS {
        let words =
            ["I", " think", " that", " these", " four", " boats", ",", " of", " cours", "e"];
        let event = |number: usize| server.event.replace('$', words[number % words.len()]);
        let before = server.before.iter().map(|it| (*it).to_owned());
        let after = server.last.iter().chain(server.after).map(|it| it.replace('$', " end"));
        let chunks: Vec<_> = before.chain((0..500).map(event)).chain(after).collect();
        let ((all, every), (some, read)) = (told(&chunks, false), told(&chunks, true));
        assert_eq!(some, all, "{}", server.name);
        // Usage in each event is what the last of them tells.
        let most = if server.name.contains("each") { every } else { 24 };
        assert!(read <= most, "{}: {read} of {every}", server.name);
    }
}

#[test]
fn a_real_servers_streams_tell_the_same_unread() {
    let text = include_str!("../../../sim/tests/data/vllm-0.32.0-streams.json");
    let streams: BTreeMap<String, Vec<(f64, String)>> = serde_json::from_str(text).unwrap();
    for (name, frames) in streams {
        let texts: Vec<_> = frames.into_iter().map(|(_, body)| body).collect();
        let is_output = |chunk: &str| {
            let mut alone = Reader::new(Kind::Events);
            alone.push(chunk.as_bytes());
            alone.has_content() && !chunk.contains("finish_reason\":\"")
        };
        // The middle is left out of what was recorded: here each of the tokens comes many times.
        let times = |chunk: &String| if is_output(chunk) { 40 } else { 1 };
        let chunks: Vec<_> =
            texts.into_iter().flat_map(|chunk| vec![chunk.clone(); times(&chunk)]).collect();
        let ((all, _), (some, read)) = (told(&chunks, false), told(&chunks, true));
        assert_eq!(some, all, "{name}");
        assert!(chunks.len() < 40 || read < chunks.len() / 2, "{name}: {read} of {}", chunks.len());
    }
}
