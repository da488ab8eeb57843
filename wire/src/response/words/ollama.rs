//! Ollama's words: a line of JSON for each token.

use super::{AnswerField as F, Says, Says::Output, TokenCount};

pub(super) const FIELDS: &[F] = &[
    F::new(&["message", "content"], Output),
    F::new(&["message", "thinking"], Output),
    F::new(&["message", "tool_calls", "function", "name"], Output),
    F::new(&["response"], Output),
    F::new(&["thinking"], Output),
    F::new(&["done"], Says::Nothing),
    F::new(&["prompt_eval_count"], Says::Count(TokenCount::Prompt)),
    F::new(&["eval_count"], Says::Count(TokenCount::Output)),
];
