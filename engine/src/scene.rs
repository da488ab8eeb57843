//! All that a choice depends on besides the candidates.

use crate::{Ask, Instant};

/// What plugins may look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) ask: &'a Ask,
    pub(crate) now: Instant,
}
