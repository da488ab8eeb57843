//! The words of Triton's generate extension, which counts no tokens.

use super::{AnswerField as F, Says::Output};

pub(super) const FIELDS: &[F] = &[F::new(&["text_output"], Output)];
