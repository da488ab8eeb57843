//! Events that the workers of one Envoy tell each other.

use std::net::SocketAddr;

use super::{Chain, Fault, Instant, KeptName, SessionId};

/// News of one request, for what the other workers know of prefixes and of failures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacementEvent {
    /// Time of the event.
    pub at: Instant,
    /// The endpoint that the request was placed on.
    pub endpoint: SocketAddr,
    /// The request's prompt; empty where that is not the news, and of one that was used its last hash.
    pub chain: Chain,
    /// The kind of event.
    pub verdict: EventKind,
}

impl PlacementEvent {
    /// Makes the news that an endpoint keeps what has this name.
    pub(crate) fn of_kept(at: Instant, endpoint: SocketAddr, name: KeptName) -> Self {
        Self { at, endpoint, chain: Chain::default(), verdict: EventKind::Kept(name) }
    }

    /// Returns what other gateways are to learn of it; `None` where it is none of their business. A failure
    /// blames no endpoint at another gateway: one that is cut off from an endpoint must not blind those
    /// that are not.
    #[must_use]
    pub fn for_other_gateways(self) -> Option<Self> {
        match self.verdict {
            EventKind::Placed
            | EventKind::Withdrawn
            | EventKind::Used
            | EventKind::Bound(_)
            | EventKind::Kept(_) => Some(self),
            EventKind::Failed(_) => Some(Self { verdict: EventKind::Withdrawn, ..self }),
            EventKind::Broke(_) | EventKind::Served => None,
        }
    }
}

/// The outcome of a prompt on an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The prompt was sent there, so its prefix will be cached there.
    Placed,
    /// The prompt was not taken there, so what it alone would have brought is not cached.
    Withdrawn,
    /// The endpoint failed it: not cached, and enough of those and the endpoint is avoided.
    Failed(Fault),
    /// The endpoint took it, and its answer broke off: enough of those and the endpoint is avoided.
    Broke(Fault),
    /// An answer to it is whole there: of what is cached of it, that is the last use so far. The chain has
    /// the last hash alone.
    Used,
    /// The endpoint served it, after it had failed others.
    Served,
    /// The request's session is kept there.
    Bound(SessionId),
    /// The endpoint keeps what has this name. Told for other gateways: the workers of one share a table.
    Kept(KeptName),
}
