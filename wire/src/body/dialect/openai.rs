//! The OpenAI API (EPP: openai-parser).

use serde::Serialize;

use super::{
    ApiSpec, BodyError, Cursor, DialectSpec, PromptField, RequestFields,
    Work::{Computes, Inspects},
};
use crate::body::{
    messages::messages,
    part::{member, text},
    prompt::{json, prompt},
    size,
};

pub(super) use super::other_engines::{
    BEDROCK, GEMINI, LLAMA_COMPLETION, OLLAMA_CHAT, OLLAMA_GENERATE, TRITON_GENERATE,
};

pub(super) static DIALECT: DialectSpec = DialectSpec { parser: "openai-parser", error };

pub(super) static CHAT_COMPLETIONS: ApiSpec = ApiSpec {
    work: Computes,
    prompt: PromptField::Required(
        "invalid chat completions request: must have valid messages field",
    ),
    hashed: "tools, messages",
    read: read_chat,
};

pub(super) static COMPLETIONS: ApiSpec = ApiSpec {
    work: Computes,
    prompt: PromptField::Optional,
    hashed: "prompt",
    read: read_completions,
};

pub(super) static EMBEDDINGS: ApiSpec = ApiSpec {
    work: Computes,
    prompt: PromptField::Required("invalid embeddings request: must have input field"),
    hashed: "input, messages",
    read: read_embeddings,
};

pub(super) static RESPONSES: ApiSpec = ApiSpec {
    work: Computes,
    prompt: PromptField::Optional,
    hashed: "instructions, tools, input",
    read: read_responses,
};

pub(super) static CONVERSATIONS: ApiSpec = ApiSpec {
    work: Computes,
    prompt: PromptField::Optional,
    hashed: "items",
    read: read_conversations,
};

pub(super) static IMAGES: ApiSpec = ApiSpec {
    work: Computes,
    prompt: PromptField::Required("invalid images generations request: must have prompt field"),
    hashed: "prompt",
    read: read_completions,
};

pub(super) static RENDER_CHAT: ApiSpec = ApiSpec { work: Inspects, ..CHAT_COMPLETIONS };

pub(super) static RENDER_COMPLETIONS: ApiSpec = ApiSpec { work: Inspects, ..COMPLETIONS };

pub(super) static OTHER: ApiSpec =
    ApiSpec { work: Inspects, prompt: PromptField::Optional, hashed: "", read: read_other };

pub(super) static NAMED: ApiSpec = ApiSpec { read: read_named, ..OTHER };

/// Names of the chat and completions APIs, then of the Responses API.
fn read_chat<'a>(
    fields: &mut RequestFields<'a>,
    cursor: &mut Cursor<'a>,
    key: &[u8],
) -> Result<(), BodyError> {
    match key {
        b"messages" => fields.prompt = messages(cursor, fields.video)?,
        _ => fields.read_common(cursor, key)?,
    }
    Ok(())
}

fn read_completions<'a>(
    fields: &mut RequestFields<'a>,
    cursor: &mut Cursor<'a>,
    key: &[u8],
) -> Result<(), BodyError> {
    match key {
        b"prompt" => fields.prompt = prompt(cursor)?,
        _ => fields.read_common(cursor, key)?,
    }
    Ok(())
}

fn read_embeddings<'a>(
    fields: &mut RequestFields<'a>,
    cursor: &mut Cursor<'a>,
    key: &[u8],
) -> Result<(), BodyError> {
    match key {
        b"input" => fields.prompt = prompt(cursor)?,
        // vLLM's embeddings of a chat, which do not replace an `input` where they are no chat.
        b"messages" => {
            let messages = messages(cursor, fields.video)?;
            fields.prompt = messages.or_else(|| fields.prompt.take());
        }
        _ => fields.read_common(cursor, key)?,
    }
    Ok(())
}

fn read_responses<'a>(
    fields: &mut RequestFields<'a>,
    cursor: &mut Cursor<'a>,
    key: &[u8],
) -> Result<(), BodyError> {
    match key {
        b"input" => fields.prompt = json(cursor)?,
        b"instructions" => fields.instructions = text(cursor)?,
        b"max_output_tokens" => fields.max_tokens = size::output_tokens(cursor.value()?),
        b"previous_response_id" => {
            fields.goes_on_from = text(cursor)?.or(fields.goes_on_from);
        }
        b"conversation" => {
            let conversation = named(cursor)?;
            fields.goes_on_from = fields.goes_on_from.or(conversation);
        }
        _ => fields.read_common(cursor, key)?,
    }
    Ok(())
}

/// Reads a name: a string, or the `id` of an object.
fn named<'a>(cursor: &mut Cursor<'a>) -> Result<Option<&'a [u8]>, BodyError> {
    if cursor.peek() != Some(b'{') {
        return text(cursor);
    }
    let id = member(cursor, |key| key == b"id")?;
    id.map(|json| text(&mut Cursor::new(json))).transpose().map(Option::flatten)
}

fn read_conversations<'a>(
    fields: &mut RequestFields<'a>,
    cursor: &mut Cursor<'a>,
    key: &[u8],
) -> Result<(), BodyError> {
    match key {
        b"items" => fields.prompt = json(cursor)?,
        _ => fields.read_common(cursor, key)?,
    }
    Ok(())
}

fn read_named<'a>(
    fields: &mut RequestFields<'a>,
    cursor: &mut Cursor<'a>,
    key: &[u8],
) -> Result<(), BodyError> {
    match key {
        b"rid" | b"input_file_id" => fields.goes_on_from = text(cursor)?,
        _ => fields.read_common(cursor, key)?,
    }
    Ok(())
}

fn read_other<'a>(
    fields: &mut RequestFields<'a>,
    cursor: &mut Cursor<'a>,
    key: &[u8],
) -> Result<(), BodyError> {
    fields.read_common(cursor, key)
}

#[derive(Serialize)]
struct ErrorEnvelope<'a> {
    error: ErrorObject<'a>,
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    message: &'a str,
    r#type: &'static str,
    code: u16,
}

/// Returns `{"error": {"message", "type", "code"}}`.
pub(super) fn error(status: u16, message: &str) -> String {
    let error = ErrorObject { message, r#type: error_type(status), code: status };
    // Text and numbers always serialise.
    serde_json::to_string(&ErrorEnvelope { error }).unwrap_or_default()
}

/// Returns the `type` of an error, by the EPP's table; another client error counts as a bad request.
pub(super) const fn error_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

#[cfg(test)]
mod tests {
    use super::{error, error_type};

    #[test]
    fn quotes_breaks_and_controls_are_escaped() {
        insta::assert_snapshot!(
            error(400, "found \"x\"\n\u{1}\\ é"),
            @r#"{"error":{"message":"found \"x\"\n\u0001\\ é","type":"invalid_request_error","code":400}}"#
        );
    }

    #[test]
    fn every_status_has_the_type_that_the_epp_gives_it() {
        let types = [400, 401, 403, 404, 409, 412, 413, 429, 500, 503].map(error_type);
        assert_eq!(
            types.join(" ").replace("_error", ""),
            "invalid_request authentication \
            permission not_found invalid_request invalid_request invalid_request rate_limit server \
            server"
        );
    }
}
