//! The endpoints on which a request is counted.

use super::{EndpointKey, Work};
use crate::model::Priority;

/// A request's counts in the ledger, by its scheduling result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The endpoint that answers.
    pub endpoint: EndpointKey,
    /// The endpoint that computes the prompt, where that is another.
    pub prefill: Option<EndpointKey>,
    /// Prompt tokens that the computing endpoint is not expected to have cached.
    pub tokens: u32,
    /// The part of `tokens` that counts as load until the response's first content; `None` where no plugin goes
    /// by tokens, since each change of the ledger costs microseconds.
    pub load: Option<Work>,
    /// Tokens of KV cache that the request is expected to take by its end, beside what it finds cached.
    pub holds: u32,
    /// Priority of the request.
    pub priority: Priority,
    /// True if the other workers hear of the placement: then it takes a position of the event ring.
    pub is_announced: bool,
}
