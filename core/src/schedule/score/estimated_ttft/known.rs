//! What is known of a request before any candidate is looked at.

use crate::{
    model::{InferenceRequest, Instant},
    pool::Learned,
};

/// Knowledge of a request and of the pool that no candidate has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) request: &'a InferenceRequest,
    pub(super) learned: &'a Learned,
    pub(super) now: Instant,
}
