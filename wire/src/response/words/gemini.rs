//! Gemini's words.

use super::{AnswerField as F, Says, Says::Output, TokenCount};

pub(super) const FIELDS: &[F] = &[
    F::new(&["candidates", "content", "parts", "text"], Output),
    F::new(&["usageMetadata", "promptTokenCount"], Says::Count(TokenCount::Prompt)),
    F::new(&["usageMetadata", "candidatesTokenCount"], Says::Count(TokenCount::Output)),
    F::new(&["usageMetadata", "cachedContentTokenCount"], Says::Count(TokenCount::Cached)),
];
