//! The Anthropic API (EPP: anthropic-parser).

use serde::Serialize;

use super::{
    ApiSpec, BodyError, Cursor, DialectSpec, PromptField, RequestFields,
    Work::{Computes, Inspects},
    openai,
};
use crate::body::{
    messages::{content, messages},
    piece::{Piece, Video},
};

pub(super) static DIALECT: DialectSpec = DialectSpec { parser: "anthropic-parser", error };

pub(super) static MESSAGES: ApiSpec = ApiSpec {
    work: Computes,
    prompt: PromptField::Required("invalid messages request: must have valid messages field"),
    hashed: "tools, system, messages",
    read,
};

pub(super) static COUNT_TOKENS: ApiSpec = ApiSpec { work: Inspects, ..MESSAGES };

/// Beginning of the system block by which some clients say which account pays: it differs from
/// request to request and is no part of the prompt (EPP: anthropic-parser).
const BILLING: &[u8] = b"x-anthropic-billing-header";

fn read<'a>(
    fields: &mut RequestFields<'a>,
    cursor: &mut Cursor<'a>,
    key: &[u8],
) -> Result<(), BodyError> {
    match key {
        b"messages" => fields.prompt = messages(cursor, fields.video)?,
        b"system" => fields.system = system(cursor, fields.video)?,
        _ => fields.read_common(cursor, key)?,
    }
    Ok(())
}

/// Reads `system`: text, or a list of parts.
fn system<'a>(cursor: &mut Cursor<'a>, video: Video) -> Result<Vec<Piece<'a>>, BodyError> {
    let mut pieces = Vec::new();
    content(cursor, &mut pieces, video)?;
    pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.starts_with(BILLING)));
    Ok(pieces)
}

#[derive(Serialize)]
struct AnthropicEnvelope<'a> {
    r#type: &'static str,
    error: AnthropicError<'a>,
}

#[derive(Serialize)]
struct AnthropicError<'a> {
    r#type: &'static str,
    message: &'a str,
}

/// Returns `{"type": "error", "error": {"type", "message"}}`.
fn error(status: u16, message: &str) -> String {
    let error = AnthropicError { r#type: error_type(status), message };
    // Text and numbers always serialise.
    serde_json::to_string(&AnthropicEnvelope { r#type: "error", error }).unwrap_or_default()
}

/// Returns the `type` of an error. Anthropic tells overload from failure, and names what is too
/// large.
const fn error_type(status: u16) -> &'static str {
    match status {
        413 => "request_too_large",
        503 => "overloaded_error",
        500.. => "api_error",
        _ => openai::error_type(status),
    }
}

#[cfg(test)]
mod tests {
    use super::error;

    #[test]
    fn anthropic_has_an_envelope_of_its_own() {
        let bodies = [400, 401, 404, 413, 429, 500, 503].map(|status| {
            let body = error(status, "m");
            let kind = body
                .strip_prefix("{\"type\":\"error\",\"error\":{\"type\":\"")
                .and_then(|rest| rest.strip_suffix("\",\"message\":\"m\"}}"));
            kind.unwrap_or("another envelope").to_owned()
        });
        assert_eq!(
            bodies.join(" "),
            "invalid_request_error authentication_error not_found_error request_too_large \
            rate_limit_error api_error overloaded_error"
        );
    }
}
