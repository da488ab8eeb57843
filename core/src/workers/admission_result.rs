//! What a member is told and tells of a request: where it could go, what became of it, what to do.

use super::Envelope;
use crate::{
    flow::Outcome,
    ledger::{EndpointKey, Work},
    model::{Instant, PickError, RequestId},
};

/// What is to become of a request that could go, by the ledger as it is.
#[derive(Debug)]
pub enum Admission<D> {
    /// It goes there.
    Send(Target, D),
    /// There is nothing to choose from.
    Refuse(PickError),
}

/// Where a request goes, as far as the ledger counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The endpoint that answers.
    pub endpoint: EndpointKey,
    /// The one that computes the prompt, where that is another.
    pub prefill: Option<EndpointKey>,
    /// Prompt tokens that whoever computes them is not expected to have cached.
    pub tokens: u32,
    /// What of that counts as load until the answer begins; `None` where nothing goes by tokens.
    pub load: Option<Work>,
    /// Whether the other workers are to hear of it: then it takes a place on the board.
    pub announced: bool,
}

/// What an answer that began has changed.
#[derive(Debug, Default)]
pub struct Answered {
    /// Whether what the worker has counted is another now.
    pub counts: bool,
    /// Tells the arbiter that there is a place again.
    pub nudge: Option<Envelope>,
}

/// What became of a request.
#[derive(Debug)]
pub enum AdmissionResult<D> {
    /// It was counted and goes. With its place on the board, if it is announced.
    Sent(D, Option<u64>),
    /// It is held; its ticket is on the way to the arbiter.
    Held,
    /// There is nothing to choose from.
    Refused(PickError),
    /// Flow control turns it away.
    Rejected(Outcome),
    /// Flow control is off, the pool is saturated, and the request is one that may be shed (EPP:
    /// legacy admission).
    Shed,
}

/// What a message makes the worker do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Send a message.
    Send(Envelope),
    /// Let a held request go: [`super::WorkerPeer::take_grant`].
    Take {
        /// Which one.
        request: RequestId,
        /// Whose grant.
        epoch: u64,
        /// When it was granted.
        granted_at: Instant,
    },
    /// ResponseClass a held request in the pool's place.
    Reject {
        /// Which one.
        request: RequestId,
        /// Why.
        outcome: Outcome,
    },
}
