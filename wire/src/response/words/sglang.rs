//! The words of SGLang's own API.

use super::{AnswerField as F, Says, Says::Output, TokenCount};

pub(super) const FIELDS: &[F] = &[
    F::new(&["text"], Output),
    F::new(&["output_ids"], Output),
    F::new(&["meta_info", "prompt_tokens"], Says::Count(TokenCount::Prompt)),
    F::new(&["meta_info", "completion_tokens"], Says::Count(TokenCount::Output)),
    F::new(&["meta_info", "cached_tokens"], Says::Count(TokenCount::Cached)),
];
