//! A request that asks to be dispatched.

use std::time::Duration;

use super::FlowKey;
use crate::model::Instant;

/// Names a held request among all workers of one Envoy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TicketId {
    /// The worker with the VM that holds the stream.
    pub worker: u64,
    /// The request within that worker.
    pub request: u32,
}

/// A held request, as the arbiter knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Name of the request.
    pub id: TicketId,
    /// Tenant and priority of the request.
    pub flow: FlowKey,
    /// Bytes of its body, counted against byte limits.
    pub bytes: u64,
    /// Estimated tokens of the prompt: the most that it adds to an endpoint's load.
    pub prompt_tokens: u32,
    /// Prompt tokens that the endpoint with the most of the prompt is not thought to have cached,
    /// on arrival: the tenant is charged for them at dispatch (token-fair).
    pub uncached_tokens: u32,
    /// Tokens that the answer is expected to have: the tenant is charged for them at dispatch, and for the truth in their
    /// place once it is known (token-fair).
    pub output_tokens: u32,
    /// Time at which its worker first saw it; stays the same however often it is handed in.
    pub arrived: Instant,
    /// The client's own limit on waiting (`x-llm-d-inference-ttl`). Zero is the same as none.
    pub ttl: Option<Duration>,
    /// The time to first token that the client asks for (`x-llm-d-slo-ttft-ms`).
    pub slo_ttft: Option<Duration>,
}

/// The tokens of a request, as far as its tenant is charged for them at dispatch.
#[derive(Clone, Copy, Debug)]
pub(super) struct TicketTokens {
    /// Prompt tokens that are not cached.
    pub(super) uncached: u32,
    /// Tokens of the answer that is expected.
    pub(super) output: u32,
}
