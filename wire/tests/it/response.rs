//! Responses as they pass.

use wire::response::{Kind, LoadReport, Reader, Renamer, Usage};

use crate::mutated;

fn read(response: &[u8]) -> Option<Usage> {
    let mut reader = Reader::new(Kind::Events);
    reader.push(response);
    reader.usage()
}

const JSON: &str = r#"{"id":"c","choices":[{"message":{"content":"so \"usage\":{\"prompt_tokens\":9,\"completion_tokens\":9} it said"}}],
    "usage": {"prompt_tokens":21,"total_tokens":24,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":16}},"kv_transfer_params":null}"#;

const STREAM: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}],\"usage\":null}\n\n\
    data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"total_tokens\":9,\"completion_tokens\":2}}\n\n\
    data: [DONE]\n\n";

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

#[test]
fn only_the_end_is_looked_at() {
    let before = |filler: usize| format!("{}{STREAM}", "x".repeat(filler));
    let after = |filler: usize| format!("{STREAM}{}", "x".repeat(filler));
    assert!(read(before(1 << 20).as_bytes()).is_some());
    assert!(read(after(1_800).as_bytes()).is_some());
    assert_eq!(read(after(2_048).as_bytes()), None);
}

#[test]
fn where_a_response_is_cut_makes_no_difference() {
    arbtest::arbtest(|u| {
        let filler = "x".repeat(*u.choose(&[0, 1, 1_900, 2_047, 5_000])?);
        let sample = format!("{filler}{}{filler}", u.choose(&[JSON, STREAM])?);
        let response = mutated(u, sample.as_bytes())?;
        let mut reader = Reader::new(Kind::Events);
        let mut rest = response.as_slice();
        while !rest.is_empty() {
            let most = *u.choose(&[1, 7, 300, 4_096])?;
            let (chunk, after) = rest.split_at(u.int_in_range(1..=rest.len().min(most))?);
            reader.push(chunk);
            rest = after;
        }
        assert_eq!(reader.usage(), read(&response));
        Ok(())
    });
}

/// The beginning of an Anthropic stream says what the prompt cost, its end what was generated.
#[test]
fn anthropic_says_it_in_two_parts() {
    let start = r#"data: {"type":"message_start","message":{"model":"m","usage":{"input_tokens":21,"cache_read_input_tokens":16,"output_tokens":1}}}"#;
    let delta = r#"data: {"type":"message_delta","delta":{},"usage":{"output_tokens":9}}"#;
    let stop = r#"data: {"type":"message_stop"}"#;
    let stream =
        format!("event: message_start\n{start}\n\n{}{delta}\n\n{stop}\n\n", "x".repeat(9_000));
    let whole = Usage { prompt_tokens: 37, output_tokens: 9, cached_tokens: Some(16) };
    assert_eq!(read(stream.as_bytes()), Some(whole));
    let full = delta.replace("{\"output", "{\"input_tokens\":5,\"output");
    let stream = format!("{start}\n\n{full}\n\n");
    let own = Usage { prompt_tokens: 5, output_tokens: 9, cached_tokens: None };
    assert_eq!(read(stream.as_bytes()), Some(own));
}

#[test]
fn a_stream_without_usage_counts_its_events_and_tells_an_error() {
    let good = "data: {\"choices\":[]}\n\n: ping\n\ndata: [DONE]\n\n\n";
    let text = "data: {\"choices\":[{\"text\":\"data: {\\\"error\\\"\"}]}\n\n";
    let failures = [
        "data: {\"error\":{\"code\":500}}\n\n",
        "data:{\"error\": 1}\r\n\r\n",
        "event: error\ndata: {}\n\n",
        "event: response.failed\ndata: {}\n\n",
    ];
    let watch = |stream: &str, cut: usize| {
        let mut reader = Reader::new(Kind::Events);
        let (head, rest) = stream.split_at(cut);
        reader.push(head.as_bytes());
        reader.push(rest.as_bytes());
        (reader.output_tokens(), reader.has_failed())
    };
    for cut in 0..good.len() {
        assert_eq!(watch(good, cut), (3, false), "cut at {cut}");
    }
    for cut in 0..text.len() {
        assert_eq!(watch(text, cut), (1, false), "cut at {cut}");
    }
    for failure in failures {
        let stream = format!("{text}{failure}data: [DONE]\n\n");
        for cut in 0..stream.len() {
            assert_eq!(watch(&stream, cut), (3, true), "{failure} cut at {cut}");
        }
    }
}

#[test]
fn only_json_and_events_are_read() {
    let kinds = [
        "application/json",
        "Application/JSON; charset=utf-8",
        "text/event-stream;charset=utf-8",
        "text/plain",
        "",
    ];
    assert_eq!(
        kinds.map(|kind| Kind::from_content_type(kind.as_bytes())),
        [Kind::Json, Kind::Json, Kind::Events, Kind::Other, Kind::Other]
    );
    let mut audio = Reader::new(Kind::Other);
    audio.push(STREAM.as_bytes());
    assert_eq!((audio.usage(), audio.output_tokens()), (None, 0));
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
                "{",
                ",",
                "\\\"",
            ])?);
        }
        let mut whole = Renamer::new("m", "another");
        let expected =
            whole.push(text.as_bytes(), true).unwrap_or_else(|| text.clone().into_bytes());
        let mut cut = Renamer::new("m", "another");
        let mut rest = text.as_bytes();
        let mut out = Vec::new();
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(u.int_in_range(1..=rest.len().min(3))?);
            out.extend(cut.push(chunk, false).unwrap_or_else(|| chunk.to_vec()));
            rest = after;
        }
        out.extend(cut.push(b"", true).unwrap_or_default());
        assert_eq!(String::from_utf8(out).unwrap(), String::from_utf8(expected).unwrap());
        let report = mutated(u, b"JSON {\"named_metrics\": {\"kv_cache_usage_perc\": 0.5}}")?;
        let _ = LoadReport::parse(&report);
        Ok(())
    });
}
