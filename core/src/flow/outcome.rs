//! The outcome of a request in flow control, and what its client is told.

use std::time::Duration;

/// The end of a request's wait. [`Outcome::label`] gives the EPP's name, which merges some.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The request was sent on.
    Dispatched,
    /// The band or the whole is full.
    RejectedCapacity,
    /// The same, while the pool has no endpoint.
    RejectedNoEndpoints,
    /// The gateway is going away.
    RejectedShuttingDown,
    /// Flow control itself failed.
    RejectedInternal,
    /// The request waited its time to live.
    EvictedTtl,
    /// The request waited as long as an empty pool is given to come back.
    EvictedNoEndpoints,
    /// The client left.
    EvictedContextCancelled,
    /// A request of a higher band took its place.
    EvictedDisplaced,
}

/// The end of a request's wait that is none at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The reason.
    pub outcome: Outcome,
    /// Time that the request may expect to wait if it comes again: as long as others of its priority, and no less than
    /// it did already. Zero where that is not known.
    pub expected_wait: Duration,
}

/// The local reply that refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The EPP's error code, from which the error envelope's `type` follows.
    pub code: &'static str,
    /// The error message.
    pub message: &'static str,
    /// The value of `x-llm-d-request-dropped-reason`.
    pub reason: &'static str,
}

impl From<Outcome> for Rejection {
    /// Makes a rejection that says nothing of waits.
    fn from(outcome: Outcome) -> Self {
        Self { outcome, expected_wait: Duration::ZERO }
    }
}

impl Outcome {
    /// Returns the `outcome` label of the `flow_control` metrics, as the EPP spells it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Dispatched => "Dispatched",
            Self::RejectedCapacity => "RejectedCapacity",
            Self::RejectedNoEndpoints => "RejectedNoEndpoints",
            Self::RejectedShuttingDown | Self::RejectedInternal => "RejectedOther",
            Self::EvictedTtl => "EvictedTTL",
            Self::EvictedNoEndpoints => "EvictedNoEndpoints",
            Self::EvictedContextCancelled => "EvictedContextCancelled",
            Self::EvictedDisplaced => "EvictedOther",
        }
    }

    /// Returns what the client is told; nothing if the request was sent on.
    ///
    /// Statuses, messages and reasons are the EPP's. It has no displacement, but reserves
    /// `evicted-queue-pressure` for it.
    #[must_use]
    pub const fn refusal(self) -> Option<Refusal> {
        Some(match self {
            Self::Dispatched => return None,
            Self::RejectedCapacity => {
                exhausted("request rejected pre-queue: queue at capacity", "rejected-saturated")
            }
            Self::RejectedNoEndpoints => unavailable(
                "no endpoints available: request rejected pre-queue: no endpoints available",
                "rejected-no-endpoints",
            ),
            Self::RejectedShuttingDown => unavailable(
                "flow controller shutting down: flow controller is not running",
                "rejected-shutting-down",
            ),
            Self::RejectedInternal => Refusal {
                status: 500,
                code: "Internal",
                message: "internal flow control error: the request was lost track of",
                reason: "rejected-internal",
            },
            Self::EvictedTtl => exhausted(
                "request timed out in queue: request evicted from queue: request TTL expired",
                "rejected-ttl-expired",
            ),
            Self::EvictedNoEndpoints => unavailable(
                "request timed out in queue and no endpoints are available: \
                 request evicted from queue: request TTL expired",
                "rejected-no-endpoints",
            ),
            Self::EvictedContextCancelled => unavailable(
                "client disconnected: request evicted from queue: request context cancelled",
                "rejected-context-cancelled",
            ),
            Self::EvictedDisplaced => {
                exhausted("request evicted by flow control", "evicted-queue-pressure")
            }
        })
    }
}

const fn exhausted(message: &'static str, reason: &'static str) -> Refusal {
    Refusal { status: 429, code: "ResourceExhausted", message, reason }
}

const fn unavailable(message: &'static str, reason: &'static str) -> Refusal {
    Refusal { status: 503, code: "ServiceUnavailable", message, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_says_what_happened() {
        let table: String = [
            Outcome::RejectedCapacity,
            Outcome::RejectedNoEndpoints,
            Outcome::RejectedShuttingDown,
            Outcome::RejectedInternal,
            Outcome::EvictedTtl,
            Outcome::EvictedNoEndpoints,
            Outcome::EvictedContextCancelled,
            Outcome::EvictedDisplaced,
        ]
        .into_iter()
        .filter_map(|outcome| Some((outcome.label(), outcome.refusal()?)))
        .map(|(label, Refusal { status, code, message, reason })| {
            format!("{label} {status} {code} {reason}: {message}\n")
        })
        .collect();
        insta::assert_snapshot!(table, @"
    RejectedCapacity 429 ResourceExhausted rejected-saturated: request rejected pre-queue: queue at capacity
    RejectedNoEndpoints 503 ServiceUnavailable rejected-no-endpoints: no endpoints available: request rejected pre-queue: no endpoints available
    RejectedOther 503 ServiceUnavailable rejected-shutting-down: flow controller shutting down: flow controller is not running
    RejectedOther 500 Internal rejected-internal: internal flow control error: the request was lost track of
    EvictedTTL 429 ResourceExhausted rejected-ttl-expired: request timed out in queue: request evicted from queue: request TTL expired
    EvictedNoEndpoints 503 ServiceUnavailable rejected-no-endpoints: request timed out in queue and no endpoints are available: request evicted from queue: request TTL expired
    EvictedContextCancelled 503 ServiceUnavailable rejected-context-cancelled: client disconnected: request evicted from queue: request context cancelled
    EvictedOther 429 ResourceExhausted evicted-queue-pressure: request evicted by flow control
    ");
        assert_eq!(Outcome::Dispatched.refusal(), None);
    }
}
