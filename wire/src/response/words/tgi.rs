//! The words of Text Generation Inference's own API.

use super::{AnswerField as F, Says, Says::Output, TokenCount};

pub(super) const FIELDS: &[F] = &[
    F::new(&["token", "text"], Output),
    F::new(&["generated_text"], Output),
    F::new(&["details", "generated_tokens"], Says::Count(TokenCount::Output)),
];
