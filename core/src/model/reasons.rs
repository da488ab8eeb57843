//! The reasons of a choice, for operators that look for them.

use std::net::SocketAddr;

/// The reasons of a choice beside its scores.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reasons {
    /// Expectation of the chosen endpoint.
    pub chosen: Expectation,
    /// The endpoint that would have been chosen without it, with what was expected of that; `None` where there was no
    /// other.
    pub runner_up: Option<(SocketAddr, Expectation)>,
    /// Number of endpoints that could be chosen, before any filter did its work.
    pub candidates: u32,
    /// Filters that dropped some of them, by their types, with the number that each dropped.
    pub dropped: Vec<(&'static str, u32)>,
}

/// The expectation of an endpoint for one request. Whatever the scorers go by: what is in flight there, the cached
/// part of the prompt, and the learnt rate at which endpoints compute prompts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Expectation {
    /// Seconds until the prompts are computed that were sent there before.
    pub backlog: f64,
    /// Seconds to the first token: the backlog, and the part of the prompt that is not cached there.
    pub ttft: f64,
    /// Tokens of the prompt that are cached there.
    pub hit_tokens: u32,
}
