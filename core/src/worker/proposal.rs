//! A proposal: the change and the plan that hold if the ledger is still as it was read.

use super::{Version, Written};
use crate::{
    flow::{Outcome, Passage},
    ledger::{Lease, Ledger, Row, Target},
    model::{QueueId, WorkerId},
    workers::{AdmissionResult, Tenure, in_flight::Shift, peer::GrantPlan},
};

/// A change of the ledger with the plan that goes with it. Holds only if [`super::Host::commit`] wrote
/// the ledger, if there was nothing to write, or once it is given up.
#[derive(Debug)]
pub struct Proposal {
    pub(super) ledger: Ledger,
    pub(super) version: Version,
    pub(super) change: Change,
    pub(super) plan: Plan,
    pub(super) membership: Membership,
    /// The reason why the stored snapshot cannot be read, if that is news.
    pub(super) unreadable: Option<String>,
}

/// The part of the ledger that a proposal changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing: the ledger is not written.
    None,
    /// Something beside this worker's counts.
    Common,
    /// The counts of this worker, of which its heartbeat tells too.
    Counts,
    /// Something that was not written: other workers were faster each time.
    GivenUp,
}

/// The worker's standing among the members of the ledger, as proposed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Membership {
    /// True if the worker becomes a member, with all its counts.
    pub(super) joins: bool,
    /// Number of this change among those of the worker's counts, if it is one of them.
    pub(super) changes: Option<u64>,
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
    /// For the arbiter's look at its queues.
    Arbitrate(Option<Tenure>),
    /// For a tick.
    Tick { tenure: Option<Tenure>, lease: Option<Lease>, roll: Option<Roll> },
    /// For the choice of running requests that are to end.
    Reclaim(Vec<Row>),
    /// For an event that is news for other gateways alone, at this position of the event ring.
    Tell(Option<u64>),
    /// For a change that only wakes the arbiter.
    Wake(Option<QueueId>),
}

/// A look at the rows of all members.
#[derive(Debug)]
pub(super) struct Roll {
    /// The rows as they were read, with this worker's own counts.
    pub(super) rows: Vec<Row>,
    /// The members among them that are dead, and struck off.
    pub(super) dead: Vec<WorkerId>,
    /// True if counts of the ledger were wrong.
    pub(super) mends: bool,
}

/// The place of one request.
#[derive(Debug)]
pub(super) struct Placing {
    pub(super) result: AdmissionResult,
    /// Counts of a request that goes.
    pub(super) target: Option<Target>,
    /// Position in the event ring of a placement that is announced.
    pub(super) position: Option<u64>,
    /// The entry at that position, if it is known before the ledger is changed.
    pub(super) entry: Option<Written>,
    /// The lease under which the request is held.
    pub(super) lease: Option<Lease>,
    /// The answer of its band to a request that arrived.
    pub(super) passage: Option<Passage>,
    /// True if the gate would not have let it pass, and was not asked.
    pub(super) is_overruled: bool,
}

impl Plan {
    /// Returns the position of an event that is news for other gateways alone; `None` where none is to be told.
    pub(super) fn told_at(&self) -> Option<u64> {
        if let Self::Tell(position) = self { *position } else { None }
    }
}

impl Placing {
    /// Answers a request that gets no place.
    pub(super) fn without_place(result: AdmissionResult) -> Self {
        Self {
            result,
            target: None,
            position: None,
            entry: None,
            lease: None,
            passage: None,
            is_overruled: false,
        }
    }

    fn give_up(&mut self) {
        (self.position, self.entry, self.lease) = (None, None, None);
    }

    /// Answers a request that flow control turns away.
    pub(super) fn rejected(outcome: Outcome) -> Self {
        Self::without_place(AdmissionResult::Rejected(outcome.into()))
    }
}

impl Proposal {
    /// True if the ledger is to be written.
    #[must_use]
    pub fn changes_ledger(&self) -> bool {
        matches!(self.change, Change::Common | Change::Counts)
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

    /// Returns the entry of the event ring that is to be written along with the ledger. A host that writes both
    /// in one change has the other workers find it as soon as they find its position announced.
    #[must_use]
    pub fn entry(&self) -> Option<&Written> {
        match &self.plan {
            Plan::Place(placing) => placing.entry.as_ref(),
            Plan::Take { placing, .. } => placing.as_ref()?.entry.as_ref(),
            Plan::AsTold
            | Plan::Respond { .. }
            | Plan::End { .. }
            | Plan::Arbitrate(_)
            | Plan::Tick { .. }
            | Plan::Reclaim(_)
            | Plan::Tell(_)
            | Plan::Wake(_) => None,
        }
    }

    pub(super) fn for_notice(ledger: Ledger, version: Version, wakes: Option<QueueId>) -> Self {
        Self {
            ledger,
            version,
            change: Change::Common,
            plan: Plan::Wake(wakes),
            membership: Membership::default(),
            unreadable: None,
        }
    }

    /// True if other workers were faster each time, so that the ledger is as they left it.
    pub(super) fn is_given_up(&self) -> bool {
        self.change == Change::GivenUp
    }

    /// Gives up writing the ledger. The decision about the request holds all the same, and is counted when
    /// the ledger is recounted. All that only the ledger gives is taken off the plan: positions of the
    /// event ring, the lease, reserved places, members and their rows.
    pub(super) fn given_up(mut self) -> Self {
        match &mut self.plan {
            Plan::Place(placing) => placing.give_up(),
            Plan::Take { placing, wakes, .. } => {
                placing.iter_mut().for_each(|placing| placing.give_up());
                *wakes = None;
            }
            Plan::Respond { position, wakes, .. } | Plan::End { position, wakes, .. } => {
                (*position, *wakes) = (None, None);
            }
            Plan::Arbitrate(tenure) => *tenure = None,
            Plan::Tick { tenure, lease, roll } => (*tenure, *lease, *roll) = (None, None, None),
            Plan::Tell(position) => *position = None,
            Plan::Wake(wakes) => *wakes = None,
            Plan::AsTold | Plan::Reclaim(_) => (),
        }
        let membership = Membership::default();
        Self { change: Change::GivenUp, membership, ..self }
    }

    pub(super) fn into_notice(self) -> (Ledger, Option<QueueId>) {
        let wakes = if let Plan::Wake(wakes) = self.plan { wakes } else { None };
        (self.ledger, wakes)
    }
}
