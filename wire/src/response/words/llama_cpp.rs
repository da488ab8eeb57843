//! The words of llama.cpp's own API.

use super::{AnswerField as F, Says, Says::Output, TokenCount};

pub(super) const FIELDS: &[F] = &[
    F::new(&["content"], Output),
    F::new(&["tokens_evaluated"], Says::Count(TokenCount::Prompt)),
    F::new(&["tokens_predicted"], Says::Count(TokenCount::Output)),
];
