//! Results of flow control, at a request's arrival and at its end of waiting.

use picker_core::flow::Outcome;
use serde::{Deserialize, Serialize};

/// End of a request's wait, as the EPP tells ends apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of the core's outcomes")]
pub enum QueueOutcome {
    Dispatched,
    RejectedCapacity,
    RejectedNoEndpoints,
    RejectedOther,
    EvictedTtl,
    EvictedNoEndpoints,
    EvictedContextCancelled,
    EvictedOther,
}

/// Result of a request's arrival at flow control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EnqueueOutcome {
    /// The request waits.
    Queued,
    /// The request went on at once.
    Dispatched,
    /// The request was turned away.
    Rejected,
}

impl QueueOutcome {
    /// Returns the outcome as the EPP spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dispatched => Outcome::Dispatched.label(),
            Self::RejectedCapacity => Outcome::RejectedCapacity.label(),
            Self::RejectedNoEndpoints => Outcome::RejectedNoEndpoints.label(),
            Self::RejectedOther => Outcome::RejectedInternal.label(),
            Self::EvictedTtl => Outcome::EvictedTtl.label(),
            Self::EvictedNoEndpoints => Outcome::EvictedNoEndpoints.label(),
            Self::EvictedContextCancelled => Outcome::EvictedContextCancelled.label(),
            Self::EvictedOther => Outcome::EvictedDisplaced.label(),
        }
    }
}

impl EnqueueOutcome {
    /// Returns the outcome as the EPP spells it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Queued => "NotYetFinalized",
            Self::Dispatched => Outcome::Dispatched.label(),
            Self::Rejected => Outcome::RejectedCapacity.label(),
        }
    }
}

impl From<Outcome> for QueueOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Dispatched => Self::Dispatched,
            Outcome::RejectedCapacity => Self::RejectedCapacity,
            Outcome::RejectedNoEndpoints => Self::RejectedNoEndpoints,
            Outcome::RejectedShuttingDown | Outcome::RejectedInternal => Self::RejectedOther,
            Outcome::EvictedTtl => Self::EvictedTtl,
            Outcome::EvictedNoEndpoints => Self::EvictedNoEndpoints,
            Outcome::EvictedContextCancelled => Self::EvictedContextCancelled,
            Outcome::EvictedDisplaced => Self::EvictedOther,
        }
    }
}
