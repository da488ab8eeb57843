//! Error bodies, worded as vLLM 0.32 words them.

use axum::{
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde_json::Value;

/// Reason that a request got no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NoSuchModel { model: String, aliases: String },
    NotJson { column: usize, error: String },
    NotJsonType,
    TooLarge { bytes_max: usize },
    TooMany { name: &'static str, found: usize, max: usize },
    NoPrompt,
    NoMessages,
    BadMaxTokens(i64),
    AnswerTooLong { max_tokens: i64, model_tokens: usize },
    PromptTooLong { tokens: usize, model_tokens: usize },
    NotSimulated(&'static str),
    NoSuchResponse(String),
    Busy,
    Dead,
}

impl Refusal {
    /// Returns status, `type` and `param`.
    fn parts(&self) -> (StatusCode, &'static str, Option<String>) {
        const BAD: StatusCode = StatusCode::BAD_REQUEST;
        /// Type of what vLLM's own checks say, and below of what its body parser says.
        const CHECK: &str = "BadRequestError";
        const PARSE: &str = "Bad Request";
        let named = |name: &str| Some(name.to_owned());
        match self {
            Self::NoSuchModel { .. } => (StatusCode::NOT_FOUND, "NotFoundError", named("model")),
            Self::NotJson { column, .. } => (BAD, PARSE, Some(format!("body.{column}"))),
            Self::NotJsonType => (BAD, PARSE, None),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, PARSE, None),
            Self::TooMany { name, .. } => (BAD, CHECK, named(name)),
            Self::NoMessages => (BAD, PARSE, named("body.messages")),
            Self::NoPrompt => (BAD, CHECK, named("prompt")),
            Self::BadMaxTokens(_) | Self::AnswerTooLong { .. } => (BAD, CHECK, named("max_tokens")),
            Self::PromptTooLong { .. } => (BAD, CHECK, named("input_tokens")),
            Self::NotSimulated(name) => (BAD, CHECK, named(name)),
            Self::NoSuchResponse(_) => {
                (StatusCode::NOT_FOUND, "invalid_request_error", named("response_id"))
            }
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable", None),
            Self::Dead => (StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", None),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::NoSuchModel { model, aliases } => {
                format!("The model `{model}` does not exist. Valid aliases: {aliases}.")
            }
            Self::NotJson { column, error } => format!(
                "1 validation error:\n  {{'type': 'json_invalid', 'loc': 'body.{column}', 'msg': \
                 'JSON decode error', 'input': '<dict of 0 items>', 'ctx': {{'error': '{error}'}}}}"
            ),
            Self::NotJsonType => "1 validation error:\n  Unsupported Media Type: Only \
                 'application/json' is allowed"
                .to_owned(),
            Self::TooLarge { bytes_max } => {
                format!("The body did not come whole; at most {bytes_max} bytes are read")
            }
            Self::TooMany { name, found, max } => {
                format!("{found} of {name}; at most {max} are taken. (parameter={name})")
            }
            Self::NoPrompt => "Either prompt or prompt_embeds must be provided and non-empty. \
                 (parameter=prompt)"
                .to_owned(),
            Self::NoMessages => "1 validation error:\n  {'type': 'missing', 'loc': \
                 'body.messages', 'msg': 'Field required'}"
                .to_owned(),
            Self::BadMaxTokens(n) => {
                format!("max_tokens must be at least 1, got {n}. (parameter=max_tokens, value={n})")
            }
            Self::AnswerTooLong { max_tokens, model_tokens } => format!(
                "max_tokens={max_tokens} cannot be greater than max_model_len={model_tokens}. \
                 Please request fewer output tokens. (parameter=max_tokens, value={max_tokens})"
            ),
            Self::PromptTooLong { tokens, model_tokens } => format!(
                "This model's maximum context length is {model_tokens} tokens. However, your \
                 prompt contains {tokens} input tokens, which exceeds this limit even without any \
                 output tokens. Please reduce the length of the input prompt. \
                 (parameter=input_tokens, value={tokens})"
            ),
            Self::NotSimulated(name) => {
                format!("This simulator does not do that. (parameter={name})")
            }
            Self::NoSuchResponse(id) => format!("Response with id '{id}' not found."),
            Self::Busy => "The engine is currently busy and cannot accept new requests. Please \
                 try again later or on a different instance."
                .to_owned(),
            Self::Dead => "EngineCore encountered an issue. See stack trace (above) for the root \
                 cause."
                .to_owned(),
        }
    }

    /// Returns the body, also of an error inside a stream.
    pub(super) fn body(&self) -> String {
        let (status, kind, parameter) = self.parts();
        let message = Value::from(self.message());
        let parameter = Value::from(parameter);
        let code = status.as_u16();
        format!(
            r#"{{"error":{{"message":{message},"type":"{kind}","param":{parameter},"code":{code}}}}}"#
        )
    }
}

impl Refusal {
    /// Returns the answer in the words of the Anthropic API.
    pub(super) fn into_message(self) -> Response {
        let (status, kind, _) = self.parts();
        let message = Value::from(self.message());
        json_response(
            status,
            format!(r#"{{"type":"error","error":{{"type":"{kind}","message":{message}}}}}"#),
        )
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        json_response(self.parts().0, self.body())
    }
}

/// Returns a JSON answer.
pub(super) fn json_response(status: StatusCode, body: String) -> Response {
    const JSON: HeaderValue = HeaderValue::from_static("application/json");
    (status, [(CONTENT_TYPE, JSON)], body).into_response()
}

/// Answers for paths that vLLM doesn't have, or not without a flag.
pub(super) async fn not_found() -> Response {
    json_response(StatusCode::NOT_FOUND, r#"{"detail":"Not Found"}"#.to_owned())
}

/// Answers for the right path with the wrong method.
pub(super) async fn method_not_allowed() -> Response {
    json_response(StatusCode::METHOD_NOT_ALLOWED, r#"{"detail":"Method Not Allowed"}"#.to_owned())
}
