//! APIs of other engines and providers with a prompt in a documented place. Their errors have OpenAI's envelope, as clients
//! of theirs are told a status and little more.

use super::{ApiSpec, BodyError, Cursor, PromptField, RequestFields, Work::Computes};
use crate::body::{
    messages::messages,
    part::{output_limit, text},
    prompt::{json, prompt},
    size,
};

const READ: ApiSpec =
    ApiSpec { work: Computes, prompt: PromptField::Optional, hashed: "", read: read_ollama };

/// Ollama's `api/chat`.
pub(super) static OLLAMA_CHAT: ApiSpec = ApiSpec { hashed: "tools, messages", ..READ };

/// Ollama's `api/generate`.
pub(super) static OLLAMA_GENERATE: ApiSpec = ApiSpec { hashed: "system, prompt", ..READ };

/// llama.cpp's `completion`.
pub(super) static LLAMA_COMPLETION: ApiSpec =
    ApiSpec { hashed: "prompt", read: read_llama, ..READ };

/// Triton's `generate`, as TensorRT-LLM's ensemble and vLLM's backend name its input.
pub(super) static TRITON_GENERATE: ApiSpec =
    ApiSpec { hashed: "text_input", read: read_triton, ..READ };

/// Gemini's `generateContent`.
pub(super) static GEMINI: ApiSpec =
    ApiSpec { hashed: "systemInstruction, tools, contents", read: read_gemini, ..READ };

/// Bedrock's `converse`.
pub(super) static BEDROCK: ApiSpec =
    ApiSpec { hashed: "system, toolConfig, messages", read: read_bedrock, ..READ };

fn read_ollama<'a>(
    fields: &mut RequestFields<'a>,
    cursor: &mut Cursor<'a>,
    key: &[u8],
) -> Result<(), BodyError> {
    match key {
        b"messages" => fields.prompt = messages(cursor, fields.video)?,
        b"prompt" => fields.prompt = prompt(cursor)?,
        b"system" => fields.instructions = text(cursor)?,
        b"options" => fields.max_tokens = limit(cursor, b"num_predict")?,
        _ => fields.read_common(cursor, key)?,
    }
    Ok(())
}

fn read_llama<'a>(
    fields: &mut RequestFields<'a>,
    cursor: &mut Cursor<'a>,
    key: &[u8],
) -> Result<(), BodyError> {
    match key {
        b"prompt" => fields.prompt = prompt(cursor)?,
        b"n_predict" => fields.max_tokens = size::output_tokens(cursor.value()?),
        _ => fields.read_common(cursor, key)?,
    }
    Ok(())
}

fn read_triton<'a>(
    fields: &mut RequestFields<'a>,
    cursor: &mut Cursor<'a>,
    key: &[u8],
) -> Result<(), BodyError> {
    match key {
        b"text_input" => fields.prompt = prompt(cursor)?,
        b"parameters" => fields.max_tokens = limit(cursor, b"max_tokens")?,
        _ => fields.read_common(cursor, key)?,
    }
    Ok(())
}

fn read_gemini<'a>(
    fields: &mut RequestFields<'a>,
    cursor: &mut Cursor<'a>,
    key: &[u8],
) -> Result<(), BodyError> {
    match key {
        b"contents" => fields.prompt = json(cursor)?,
        b"systemInstruction" | b"system_instruction" => {
            fields.instructions = Some(cursor.value()?);
        }
        b"generationConfig" | b"generation_config" => {
            fields.max_tokens = limit(cursor, b"maxOutputTokens")?;
        }
        _ => fields.read_common(cursor, key)?,
    }
    Ok(())
}

fn read_bedrock<'a>(
    fields: &mut RequestFields<'a>,
    cursor: &mut Cursor<'a>,
    key: &[u8],
) -> Result<(), BodyError> {
    match key {
        b"messages" => fields.prompt = json(cursor)?,
        b"system" => fields.instructions = Some(cursor.value()?),
        b"toolConfig" => fields.tools = Some(cursor.value()?),
        b"inferenceConfig" => fields.max_tokens = limit(cursor, b"maxTokens")?,
        _ => fields.read_common(cursor, key)?,
    }
    Ok(())
}

/// Reads the limit on output tokens within an object of settings.
fn limit(cursor: &mut Cursor<'_>, name: &[u8]) -> Result<Option<u64>, BodyError> {
    output_limit(cursor, &[name])
}

#[cfg(test)]
mod tests {
    use picker_core::InferenceRequest;

    use super::super::super::{Api, HashRules, Video, scan};

    fn ask(api: Api, body: &str) -> InferenceRequest {
        let rules = HashRules { model: "m", blocks_max: 99, ..HashRules::default() };
        scan(body.as_bytes(), api, Video::default()).unwrap().ask(api, rules)
    }

    /// Two requests with the same beginning of a prompt, and one with another.
    fn check(api: Api, body: impl Fn(&str, &str) -> String) {
        let (long, other) = ("word ".repeat(200), "else ".repeat(200));
        let shared = |one: &InferenceRequest, two: &InferenceRequest| {
            let pairs = one.chain.hashes.iter().zip(&two.chain.hashes);
            pairs.take_while(|(one, two)| one == two).count()
        };
        let first = ask(api, &body("system", &format!("{long} one")));
        let again = ask(api, &body("system", &format!("{long} two")));
        assert!(shared(&first, &again) >= 3, "{api:?}: {} blocks", first.chain.blocks);
        assert_eq!(shared(&first, &ask(api, &body("system", &other))), 0, "{api:?}");
        let elsewhere = ask(api, &body(&format!("other {long}"), &long));
        assert_eq!(shared(&first, &elsewhere), 0, "{api:?}");
    }

    #[test]
    fn prompts_are_found_where_each_api_has_them() {
        check(Api::OllamaChat, |system, text| {
            format!(
                r#"{{"messages":[{{"role":"system","content":"{system}"}},{{"role":"user","content":"{text}"}}]}}"#
            )
        });
        check(Api::OllamaGenerate, |system, text| {
            format!(r#"{{"prompt":"{text}","system":"{system}","options":{{"num_predict":7}}}}"#)
        });
        check(Api::Gemini, |system, text| {
            format!(
                r#"{{"contents":[{{"role":"user","parts":[{{"text":"{text}"}}]}}],"systemInstruction":{{"parts":[{{"text":"{system}"}}]}}}}"#
            )
        });
        check(Api::Bedrock, |system, text| {
            format!(
                r#"{{"messages":[{{"role":"user","content":[{{"text":"{text}"}}]}}],"system":[{{"text":"{system}"}}]}}"#
            )
        });
        check(Api::LlamaCompletion, |system, text| format!(r#"{{"prompt":"{system} {text}"}}"#));
        check(Api::TritonGenerate, |system, text| format!(r#"{{"text_input":"{system} {text}"}}"#));
    }

    #[test]
    fn limits_on_output_are_found_where_each_api_has_them() {
        for (api, body) in [
            (Api::OllamaChat, r#"{"options":{"num_predict":7}}"#),
            (Api::OllamaGenerate, r#"{"options":{"x":1,"num_predict":7}}"#),
            (Api::Gemini, r#"{"generationConfig":{"maxOutputTokens":7}}"#),
            (Api::Bedrock, r#"{"inferenceConfig":{"maxTokens":7}}"#),
            (Api::LlamaCompletion, r#"{"n_predict":7}"#),
            (Api::TritonGenerate, r#"{"parameters":{"max_tokens":7}}"#),
            (Api::TritonGenerate, r#"{"max_tokens":7}"#),
        ] {
            let found = scan(body.as_bytes(), api, Video::default()).unwrap();
            assert_eq!(found.max_tokens, Some(7), "{api:?}");
        }
        for (api, body, most) in [
            (Api::Completions, r#"{"prompt":["a","b","c"],"max_tokens":100,"n":2}"#, 600),
            (Api::Completions, r#"{"prompt":[[1,2],[3]],"max_tokens":100}"#, 200),
            (Api::Completions, r#"{"prompt":[1,2,3],"max_tokens":100}"#, 100),
            (Api::Completions, r#"{"prompt":[],"max_tokens":100}"#, 100),
            (Api::Generate, r#"{"token_ids":[1],"sampling_params":{"max_tokens":7,"n":3}}"#, 21),
            (Api::Gemini, r#"{"generationConfig":{"maxOutputTokens":7,"candidateCount":2}}"#, 14),
        ] {
            let found = scan(body.as_bytes(), api, Video::default()).unwrap();
            assert_eq!(found.output.tokens_max, Some(most), "{body}");
        }
        let endless = scan(br#"{"n_predict":-1}"#, Api::LlamaCompletion, Video::default()).unwrap();
        assert_eq!(endless.max_tokens, None);
    }
}
