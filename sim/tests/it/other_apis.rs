//! The APIs beside the OpenAI API's chat and completions.

use serde_json::{Value, json};
use sim::{Options, Server};

use crate::client::{call, post};

fn server() -> Server {
    Server::start(Options { speed: 50.0, ..Options::default() }).unwrap()
}

fn asked(server: &Server, path: &str, body: &Value) -> (u16, Value) {
    let answer = post(server.addr, path, &body.to_string());
    split(&answer)
}

fn fetched(server: &Server, path: &str) -> (u16, Value) {
    split(&call(server.addr, &format!("GET {path}"), "", "").unwrap())
}

fn split(answer: &str) -> (u16, Value) {
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap())
}

#[test]
fn a_message_is_answered_in_anthropics_words() {
    let server = server();
    let ask = json!({
        "model": "tiny", "max_tokens": 3, "system": [{"type": "text", "text": "be brief"}],
        "messages": [{"role": "user", "content": "hello"}],
    });
    let (status, answer) = asked(&server, "/v1/messages", &ask);
    assert_eq!(status, 200, "{answer}");
    assert_eq!((&answer["type"], &answer["role"]), (&json!("message"), &json!("assistant")));
    assert!(!answer["content"][0]["text"].as_str().unwrap().is_empty());
    assert_eq!(
        (&answer["stop_reason"], &answer["usage"]["output_tokens"]),
        (&json!("max_tokens"), &json!(3))
    );
    let (status, error) = asked(&server, "/v1/messages", &json!({"model": "no", "messages": []}));
    assert_eq!((status, &error["type"]), (404, &json!("error")));
    let (status, count) = asked(&server, "/v1/messages/count_tokens", &ask);
    let usage = answer["usage"].as_object().unwrap();
    let prompt: u64 = usage
        .iter()
        .filter(|(name, _)| name.contains("input"))
        .map(|(_, n)| n.as_u64().unwrap())
        .sum();
    assert_eq!((status, &count["input_tokens"]), (200, &json!(prompt)));
}

#[test]
fn more_texts_than_one_request_may_have_are_refused() {
    let server = server();
    for (path, name) in [("/v1/embeddings", "input"), ("/v1/rerank", "documents")] {
        for (count, expected) in [(2_048, 200), (2_049, 400)] {
            let mut ask = json!({"query": "a"});
            ask[name] = json!(vec!["a"; count]);
            let (status, answer) = asked(&server, path, &ask);
            assert_eq!(status, expected, "{path} with {count}: {}", answer["error"]);
        }
    }
}

#[test]
fn a_response_is_kept_for_those_that_go_on_from_it() {
    let server = server();
    let first = json!({"model": "tiny", "input": "hello", "max_output_tokens": 4});
    let (status, first) = asked(&server, "/v1/responses", &first);
    assert_eq!((status, &first["status"]), (200, &json!("incomplete")));
    let name = first["id"].as_str().unwrap();
    assert!(name.starts_with("resp_"), "{name}");
    assert_eq!(fetched(&server, &format!("/v1/responses/{name}")), (200, first.clone()));
    let next = json!({"model": "tiny", "input": "and?", "previous_response_id": name, "max_output_tokens": 4});
    let (status, next) = asked(&server, "/v1/responses", &next);
    assert_eq!((status, &next["previous_response_id"]), (200, &json!(name)));
    let lost = json!({"model": "tiny", "input": "and?", "previous_response_id": "resp_0"});
    let (status, lost) = asked(&server, "/v1/responses", &lost);
    assert_eq!(
        (status, &lost["error"]["message"]),
        (404, &json!("Response with id 'resp_0' not found."))
    );
    assert_eq!(fetched(&server, "/v1/responses/resp_0").0, 404);
}

#[test]
fn texts_are_embedded_ranked_and_cut_into_tokens() {
    let server = server();
    let embed = |input: Value| {
        asked(&server, "/v1/embeddings", &json!({"model": "tiny", "input": input})).1
    };
    let (one, many) = (embed(json!("a")), embed(json!(["b", "a"])));
    assert_eq!(one["data"][0]["embedding"], many["data"][1]["embedding"]);
    assert_ne!(one["data"][0]["embedding"], many["data"][0]["embedding"]);
    let encoded = json!({"model": "tiny", "input": "a", "encoding_format": "base64"});
    let encoded = asked(&server, "/v1/embeddings", &encoded).1;
    assert_eq!(encoded["data"][0]["embedding"].as_str().unwrap().len(), 88, "64 bytes");
    let rank = json!({"model": "tiny", "query": "red fish", "documents": ["blue cat", {"text": "one red fish"}]});
    for path in ["/rerank", "/v1/rerank", "/v2/rerank"] {
        let (status, ranks) = asked(&server, path, &rank);
        assert_eq!((status, &ranks["results"][0]["index"]), (200, &json!(1)), "{ranks}");
    }
    let (_, tokens) =
        asked(&server, "/tokenize", &json!({"model": "tiny", "prompt": "twelve bytes"}));
    assert_eq!(tokens["count"], 3);
    let (_, text) = asked(&server, "/detokenize", &json!({"tokens": tokens["tokens"]}));
    assert_eq!(text["prompt"], "twelve bytes");
    let (status, error) =
        asked(&server, "/v1/rerank", &json!({"model": "no", "query": "", "documents": []}));
    assert_eq!((status, &error["error"]["type"]), (404, &json!("NotFoundError")));
}
