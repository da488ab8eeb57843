//! Responses as they pass.

use wire::body::OutputWishes;
use wire::response::{Kind, LoadReport, Reader, Renamer, Usage};

use crate::mutated;

fn read(response: &[u8]) -> Option<Usage> {
    reader_of(response).usage()
}

/// Reads a whole response, as JSON if it begins like an object.
fn reader_of(response: &[u8]) -> Reader {
    let mut reader = Reader::new(kind_of(response));
    reader.push(response);
    reader.end();
    reader
}

fn kind_of(response: &[u8]) -> Kind {
    if response.first() == Some(&b'{') { Kind::Json } else { Kind::Events }
}

const JSON: &str = r#"{"id":"c","choices":[{"message":{"content":"so \"usage\":{\"prompt_tokens\":9,\"completion_tokens\":9} it said"}}],
    "usage": {"prompt_tokens":21,"total_tokens":24,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":16}},"kv_transfer_params":null}"#;

const STREAM: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}],\"usage\":null}\n\n\
    data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"total_tokens\":9,\"completion_tokens\":2}}\n\n\
    data: [DONE]\n\n";

const ANTHROPIC: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":21}}}\n\n\
    event: ping\ndata: {\"type\": \"ping\"}\n\n\
    event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"Hi\"}}\n\n\
    event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":9}}\n\n";

const RESPONSES: &str = "event: response.created\rdata: {\"type\":\"response.created\",\"response\":{\"usage\":null}}\r\r\
    : keep-alive\r\rdata: {\"type\":\"response.output_text.delta\",\"delta\":\"x\"}\r\r\
    data: {\"type\":\"response.output_text.delta\",\"delta\":\"y\"}\r\r\
    event: response.failed\rdata: {\"type\":\"response.failed\",\"response\":{\"usage\":{\"input_tokens\":3,\"output_tokens\":4},\"error\":{\"code\":\"x\"}}}\r\r";

#[test]
fn bodies_and_streams_say_what_they_cost() {
    let whole = Usage { prompt_tokens: 21, output_tokens: 3, cached_tokens: Some(16) };
    let streamed = Usage { prompt_tokens: 7, output_tokens: 2, cached_tokens: None };
    let no_details = JSON.replace(r#"{"cached_tokens":16}"#, "null");
    let responses =
        JSON.replace("prompt_tokens", "input_tokens").replace("completion_tokens", "output_tokens");
    let cut_off = format!("{STREAM}data: {{\"usage\":{{\"prompt_to");
    let embedding = r#"{"usage":{"prompt_tokens":4,"total_tokens":4}}"#;
    let table: [(&str, Option<Usage>); 10] = [
        (JSON, Some(whole)),
        (&no_details, Some(Usage { cached_tokens: None, ..whole })),
        (&responses, Some(whole)),
        (STREAM, Some(streamed)),
        (&STREAM.replace('\n', "\r\n"), Some(streamed)),
        (&cut_off, Some(streamed)),
        (embedding, Some(Usage { prompt_tokens: 4, output_tokens: 0, cached_tokens: None })),
        (r#"data: {"choices":[],"usage":null}"#, None),
        (r#"{"usage":{"prompt_tokens":-1,"completion_tokens":4294967296}}"#, None),
        (r#"{"a":"usage","error":{"message":"no"}}"#, None),
    ];
    for (response, usage) in table {
        assert_eq!(read(response.as_bytes()), usage, "{response}");
    }
}

/// An engine writes much behind the usage, if the client asks for it.
#[test]
fn usage_is_found_whatever_stands_around_it() {
    let ids: Vec<u32> = (10_000..60_000).collect();
    let padded = |before: &str, after: &str| {
        format!(
            r#"{{"id":"x"{before},"usage":{{"prompt_tokens":5,"completion_tokens":777}}{after}}}"#
        )
    };
    let ids = format!(
        r#","prompt_token_ids":{ids:?},"prompt_logprobs":[null,{{"1":{{"logprob":-0.1}}}}]"#
    );
    let echo = r#","tools":[{"usage":{"prompt_tokens":0,"completion_tokens":0}}],"metadata":{"usage":{"input_tokens":0,"output_tokens":0}}"#;
    let text = r#","choices":[{"message":{"content":"\"usage\":{\"completion_tokens\":1}"}}]"#;
    for before in ["", &ids, echo, text] {
        for after in ["", &ids, echo, text] {
            let usage = read(padded(before, after).as_bytes()).unwrap();
            assert_eq!((usage.prompt_tokens, usage.output_tokens), (5, 777), "{before} {after}");
        }
    }
}

#[test]
fn where_a_response_is_cut_makes_no_difference() {
    arbtest::arbtest(|u| {
        let sample = *u.choose(&[JSON, STREAM, ANTHROPIC, RESPONSES])?;
        let response = mutated(u, sample.as_bytes())?;
        let mut reader = Reader::new(kind_of(&response));
        let mut rest = response.as_slice();
        while !rest.is_empty() {
            let most = *u.choose(&[1, 7, 300, 4_096])?;
            let (chunk, after) = rest.split_at(u.int_in_range(1..=rest.len().min(most))?);
            reader.push(chunk);
            rest = after;
        }
        reader.end();
        let whole = reader_of(&response);
        let told = |it: &Reader| {
            let wishes = OutputWishes::default();
            (it.usage(), it.error(), it.events(), it.has_content(), it.output_tokens(wishes))
        };
        assert_eq!(told(&reader), told(&whole), "{}", String::from_utf8_lossy(&response));
        Ok(())
    });
}

/// The beginning of an Anthropic stream says what the prompt cost, its end what was generated.
#[test]
fn anthropic_says_it_in_two_parts() {
    let start = r#"data: {"type":"message_start","message":{"model":"m","usage":{"input_tokens":21,"cache_read_input_tokens":16,"output_tokens":1}}}"#;
    let delta = r#"data: {"type":"message_delta","delta":{},"usage":{"output_tokens":9}}"#;
    let stop = r#"data: {"type":"message_stop"}"#;
    let text = r#"data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"x"}}"#;
    let text = format!("{text}\n\n").repeat(99);
    let stream = format!("event: message_start\n{start}\n\n{text}{delta}\n\n{stop}\n\n");
    let whole = Usage { prompt_tokens: 37, output_tokens: 9, cached_tokens: Some(16) };
    assert_eq!(read(stream.as_bytes()), Some(whole));
    let full = delta.replace("{\"output", "{\"input_tokens\":5,\"output");
    let stream = format!("{start}\n\n{full}\n\n");
    let own = Usage { prompt_tokens: 5, output_tokens: 9, cached_tokens: None };
    assert_eq!(read(stream.as_bytes()), Some(own));
}

/// Whatever is sent in whatever pieces, the same comes out; and no load report makes it panic.
#[test]
fn cuts_make_no_difference_to_names() {
    arbtest::arbtest(|u| {
        let mut text = String::new();
        for _ in 0..u.int_in_range(0..=12)? {
            text.push_str(u.choose(&[
                "\"model\"",
                ":",
                " ",
                "\"m\"",
                "\"",
                "m",
                "\"mod",
                "\n",
                "\"message\"",
                "}",
                "{",
                ",",
                "\\\"",
            ])?);
        }
        let kind = *u.choose(&[Kind::Json, Kind::Events, Kind::Lines])?;
        let mut whole = Renamer::new(kind, "another");
        let expected = whole.push(text.as_bytes()).unwrap_or_else(|| text.clone().into_bytes());
        let mut cut = Renamer::new(kind, "another");
        let mut rest = text.as_bytes();
        let mut out = Vec::new();
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(u.int_in_range(1..=rest.len().min(3))?);
            out.extend(cut.push(chunk).unwrap_or_else(|| chunk.to_vec()));
            rest = after;
        }
        assert_eq!(String::from_utf8(out).unwrap(), String::from_utf8(expected).unwrap());
        let report = mutated(u, b"JSON {\"named_metrics\": {\"kv_cache_usage_perc\": 0.5}}")?;
        let _ = LoadReport::parse(&report);
        Ok(())
    });
}
