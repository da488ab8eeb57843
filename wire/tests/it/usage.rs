//! Token counts in responses.

use wire::usage::{Tail, Usage};

use crate::mutated;

fn read(response: &[u8]) -> Option<Usage> {
    let mut tail = Tail::default();
    tail.push(response);
    tail.usage()
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
        let mut tail = Tail::default();
        let mut rest = response.as_slice();
        while !rest.is_empty() {
            let most = *u.choose(&[1, 7, 300, 4_096])?;
            let (chunk, after) = rest.split_at(u.int_in_range(1..=rest.len().min(most))?);
            tail.push(chunk);
            rest = after;
        }
        assert_eq!(tail.usage(), read(&response));
        Ok(())
    });
}
