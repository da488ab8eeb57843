//! A proposal: the change and the plan that hold if the ledger is still as it was read.

use super::Version;
use crate::{
    flow::{Outcome, Passage},
    ledger::{Lease, Ledger, Target},
    model::QueueId,
    workers::{AdmissionResult, Tenure, in_flight::Shift, peer::GrantPlan},
};

/// A change of the ledger with the plan that goes with it. Holds only if [`super::Host::commit`] wrote
/// the ledger, or if there was nothing to write.
#[derive(Debug)]
pub struct Proposal {
    pub(super) ledger: Ledger,
    pub(super) version: Version,
    pub(super) is_changed: bool,
    pub(super) plan: Plan,
    /// The reason why the stored snapshot cannot be read, if that is news.
    pub(super) unreadable: Option<String>,
}

/// The plan to act by once the ledger holds the proposal, by input.
#[derive(Debug)]
pub(super) enum Plan {
    /// The input alone says what to do.
    AsTold,
    /// For a request that arrived.
    Place(Box<Placing>),
    /// For a request that was granted a place.
    Take { grant: GrantPlan, placing: Option<Box<Placing>>, wakes: Option<QueueId> },
    /// For the beginning of a response.
    Respond { shift: Option<Shift>, position: Option<u64>, wakes: Option<QueueId> },
    /// For the end of a request.
    End { was_held: bool, position: Option<u64>, wakes: Option<QueueId> },
    /// For a tick, and for the arbiter's look at its queues.
    Arbitrate { tenure: Option<Tenure>, lease: Option<Lease> },
    /// For a change that only wakes the arbiter.
    Wake(Option<QueueId>),
}

/// The place of one request.
#[derive(Debug)]
pub(super) struct Placing {
    pub(super) result: AdmissionResult,
    /// Counts of a request that goes.
    pub(super) target: Option<Target>,
    /// Position in the event ring of a placement that is announced.
    pub(super) position: Option<u64>,
    /// The lease under which the request is held.
    pub(super) lease: Option<Lease>,
    /// The answer of its band to a request that arrived.
    pub(super) passage: Option<Passage>,
}

impl Placing {
    /// Answers a request that gets no place.
    pub(super) fn without_place(result: AdmissionResult) -> Self {
        Self { result, target: None, position: None, lease: None, passage: None }
    }

    /// Answers a request that flow control turns away.
    pub(super) fn rejected(outcome: Outcome) -> Self {
        Self::without_place(AdmissionResult::Rejected(outcome))
    }
}

impl Proposal {
    /// True if the ledger is to be written.
    #[must_use]
    pub fn changes_ledger(&self) -> bool {
        self.is_changed
    }

    /// Returns the ledger's version when it was read.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns the ledger as it is proposed.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(super) fn for_notice(ledger: Ledger, version: Version, wakes: Option<QueueId>) -> Self {
        Self { ledger, version, is_changed: true, plan: Plan::Wake(wakes), unreadable: None }
    }

    pub(super) fn into_notice(self) -> (Ledger, Option<QueueId>) {
        let wakes = if let Plan::Wake(wakes) = self.plan { wakes } else { None };
        (self.ledger, wakes)
    }
}
