//! What the workers of one Envoy tell each other.

use std::net::SocketAddr;

use crate::Chain;

/// News of one request's prefix, for the other workers' indexes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The endpoint that the request was placed on.
    pub endpoint: SocketAddr,
    /// Its prompt.
    pub chain: Chain,
    /// What to make of it.
    pub verdict: Verdict,
}

/// What became of a prompt on an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was sent there, so its prefix will be cached there.
    Placed,
    /// It failed there, so what it alone would have brought is not cached.
    Withdrawn,
}
