//! Anthropic's words. The first event of a stream has the cost of the prompt, the last but one that of
//! the output.

use super::{AnswerField as F, Says, Says::Output, TokenCount};

pub(super) const FIELDS: &[F] = &[
    F::new(&["delta", "text"], Output),
    F::new(&["delta", "thinking"], Output),
    F::new(&["delta", "partial_json"], Output),
    F::new(&["delta", "stop_reason"], Says::Finish),
    F::new(&["content_block", "name"], Output),
    F::new(&["content", "text"], Output),
    F::new(&["content", "thinking"], Output),
    F::new(&["content", "name"], Output),
    F::new(&["usage", "cache_read_input_tokens"], Says::Count(TokenCount::CacheRead)),
    F::new(&["usage", "cache_creation_input_tokens"], Says::Count(TokenCount::CacheCreation)),
    F::new(&["message", "usage", "input_tokens"], Says::Count(TokenCount::Prompt)),
    F::new(&["message", "usage", "output_tokens"], Says::Count(TokenCount::Output)),
    F::new(&["message", "usage", "cache_read_input_tokens"], Says::Count(TokenCount::CacheRead)),
    F::new(
        &["message", "usage", "cache_creation_input_tokens"],
        Says::Count(TokenCount::CacheCreation),
    ),
    F::new(&["error", "type"], Says::ErrorWords(&STATUSES)),
];

/// The API's types of errors with the statuses that they have outside of streams.
const STATUSES: [(&str, u16); 9] = [
    ("invalid_request_error", 400),
    ("authentication_error", 401),
    ("permission_error", 403),
    ("not_found_error", 404),
    ("request_too_large", 413),
    ("rate_limit_error", 429),
    ("api_error", 500),
    ("timeout_error", 504),
    ("overloaded_error", 529),
];
