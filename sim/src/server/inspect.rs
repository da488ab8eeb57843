//! The APIs that generate nothing: tokens, embeddings and ranks, so that clients of theirs can be tried.
//!
//! They take no part in the engine's steps: a real server with such a model has other metrics anyway.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    body::Bytes,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    body,
    error::{Refusal, json_response},
    prompt,
    shared::Shared,
};

/// Numbers of an embedding: enough to tell texts apart.
const DIMENSIONS: u64 = 16;

/// Texts of one request, or documents that are ranked: as many as the OpenAI API takes.
const TEXTS_MAX: usize = 2_048;

#[derive(Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct Embeddings {
    model: Option<String>,
    input: Texts,
    #[serde(default)]
    encoding_format: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Document {
    Text(String),
    Object { text: String },
}

#[derive(Deserialize)]
struct Detokenize {
    tokens: Vec<u32>,
}

#[derive(Deserialize)]
struct Rerank {
    model: Option<String>,
    query: String,
    documents: Vec<Document>,
    top_n: Option<usize>,
}

/// Answers `/tokenize`.
pub(super) async fn tokenize(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let tokens = whole(request).await.and_then(|body| prompt::tokens(&body));
    answer(tokens.map(|tokens| {
        let (count, max) = (tokens.len(), shared.options.max_model_len);
        json!({"count": count, "max_model_len": max, "tokens": tokens, "token_strs": null})
    }))
}

/// Answers `/detokenize`.
pub(super) async fn detokenize(request: Request) -> Response {
    let asked = whole(request).await.and_then(|body| read(&body));
    answer(asked.map(|Detokenize { tokens }| {
        let bytes = tokens.into_iter().flat_map(u32::to_le_bytes).filter(|byte| *byte != 0);
        json!({"prompt": String::from_utf8_lossy(&bytes.collect::<Vec<u8>>())})
    }))
}

/// Answers `/v1/messages/count_tokens`.
pub(super) async fn count_tokens(request: Request) -> Response {
    match whole(request).await.and_then(|body| prompt::tokens(&body)) {
        Ok(tokens) => answer(Ok(json!({"input_tokens": tokens.len()}))),
        Err(refusal) => refusal.into_message(),
    }
}

/// Answers `/v1/embeddings`.
pub(super) async fn embeddings(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let asked = whole(request).await.and_then(|body| read(&body));
    answer(asked.and_then(|asked: Embeddings| {
        let model = served(&shared, asked.model)?;
        let texts = match asked.input {
            Texts::One(text) => vec![text],
            Texts::Many(texts) => texts,
        };
        check_number("input", texts.len())?;
        let tokens: usize = texts.iter().map(|text| text.len().div_ceil(4)).sum();
        let is_base64 = asked.encoding_format == "base64";
        let entry = |(index, text): (usize, &String)| {
            json!({"object": "embedding", "index": index, "embedding": embedding(text, is_base64)})
        };
        let data: Vec<Value> = texts.iter().enumerate().map(entry).collect();
        let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
        Ok(json!({"object": "list", "model": model, "data": data, "usage": usage}))
    }))
}

/// Answers `/v1/rerank` and its other paths: a document counts by the words that it shares with the query.
pub(super) async fn rerank(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let asked = whole(request).await.and_then(|body| Ok((read(&body)?, body.len())));
    answer(asked.and_then(|(asked, bytes): (Rerank, usize)| {
        let model = served(&shared, asked.model)?;
        check_number("documents", asked.documents.len())?;
        let wanted: BTreeSet<&str> = asked.query.split_whitespace().collect();
        let score = |text: &str| {
            let words: BTreeSet<&str> = text.split_whitespace().collect();
            let shared = u32::try_from(words.intersection(&wanted).count()).unwrap_or(u32::MAX);
            let all = u32::try_from(wanted.len().max(1)).unwrap_or(u32::MAX);
            f64::from(shared) / f64::from(all)
        };
        let mut results: Vec<(usize, f64, String)> = (0..)
            .zip(asked.documents)
            .map(|(index, document)| {
                let (Document::Text(text) | Document::Object { text }) = document;
                (index, score(&text), text)
            })
            .collect();
        results.sort_by(|(_, one, _), (_, other, _)| other.total_cmp(one));
        results.truncate(asked.top_n.unwrap_or(usize::MAX));
        let entry = |(index, score, text): (usize, f64, String)| {
            json!({"index": index, "document": {"text": text, "multi_modal": null}, "relevance_score": score})
        };
        let results: Vec<Value> = results.into_iter().map(entry).collect();
        let tokens = bytes.div_ceil(4);
        let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
        Ok(json!({"id": "rerank-simulated", "model": model, "usage": usage, "results": results}))
    }))
}

async fn whole(request: Request) -> Result<Bytes, Refusal> {
    body::read(request.into_body()).await
}

/// Refuses more texts than one request may have.
const fn check_number(name: &'static str, found: usize) -> Result<(), Refusal> {
    if found > TEXTS_MAX {
        return Err(Refusal::TooMany { name, found, max: TEXTS_MAX });
    }
    Ok(())
}

fn read<T: for<'a> Deserialize<'a>>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::NotJson {
        column: error.column(),
        error: error.to_string().replace('\'', "`"),
    })
}

fn served(shared: &Shared, model: Option<String>) -> Result<String, Refusal> {
    let model = model.unwrap_or_else(|| shared.options.model().to_owned());
    prompt::adapter(&shared.options, &model)?;
    Ok(model)
}

fn answer(body: Result<Value, Refusal>) -> Response {
    match body {
        Ok(body) => json_response(StatusCode::OK, body.to_string()),
        Err(refusal) => refusal.into_response(),
    }
}

/// Returns a vector that is the same for the same text, as numbers or as base64 of little-endian floats.
fn embedding(text: &str, is_base64: bool) -> Value {
    let number = |seed| {
        let hash = xxh3_64_with_seed(text.as_bytes(), seed);
        f32::from(u16::try_from(hash >> 48).unwrap_or_default()) / f32::from(u16::MAX) - 0.5
    };
    let numbers = (0..DIMENSIONS).map(number);
    if is_base64 {
        let bytes: Vec<u8> = numbers.flat_map(f32::to_le_bytes).collect();
        return base64(&bytes).into();
    }
    numbers.collect()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |bits: u32| {
        let index = usize::try_from(bits & 63).unwrap_or_default();
        DIGITS.get(index).map_or('=', |digit| char::from(*digit))
    };
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let digits = [bits >> 18, bits >> 12, bits >> 6, bits].map(digit);
        let filled = three.len() + 1;
        text.extend((0..).zip(digits).map(|(at, digit)| if at < filled { digit } else { '=' }));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
