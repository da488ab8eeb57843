//! What members tell each other.

use crate::{
    flow::{FlowKey, Outcome, Ticket},
    model::{Instant, QueueId, RequestId, WorkerId},
};

/// A message and where it goes. It may come late, or never if its receiver dies, but messages
/// between the same two members keep their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// The receiver's queue.
    pub to: QueueId,
    /// What it is told.
    pub message: Message,
}

/// What one member tells another.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// To the arbiter: these requests wait. Handed in again after each change of arbiter.
    Submit {
        /// Who holds them.
        worker: WorkerId,
        /// Where it takes the answers.
        reply_to: QueueId,
        /// The arbiter that they are meant for; another one ignores them.
        epoch: u64,
        /// Whether they were with an earlier arbiter: then no limit applies to them again.
        again: bool,
        /// At most [`super::WorkerPeer::TICKETS_MAX`].
        tickets: Vec<Ticket>,
    },
    /// To the arbiter: this request waits no more, its client left.
    Cancel {
        /// Who held it.
        worker: WorkerId,
        /// Which one.
        request: RequestId,
    },
    /// To the arbiter: there may be room now.
    Wake,
    /// To the arbiter: a request of this flow made the engine write this many tokens.
    Charge {
        /// Whose request.
        flow: FlowKey,
        /// Output tokens.
        tokens: u32,
    },
    /// To the arbiter: a granted request of this flow costs other than it was charged for.
    Correct {
        /// Whose request.
        flow: FlowKey,
        /// Uncached prompt tokens by its ticket.
        charged: u32,
        /// Those by the endpoint that it goes to. None, if it goes nowhere.
        found: u32,
    },
    /// To the arbiter: this worker is dead, and what it counted was taken back.
    Buried {
        /// Which worker.
        worker: WorkerId,
        /// The arbiter that it knew last.
        epoch: u64,
        /// The grants of that arbiter that it had taken.
        grants_taken: u64,
    },
    /// To a worker: these requests go now.
    Grant {
        /// Which ones, in their order. At most [`super::WorkerPeer::GRANTS_MAX`].
        requests: Vec<RequestId>,
        /// Who grants it; void under a later arbiter.
        epoch: u64,
        /// When, for those who want to know how long it took.
        at: Instant,
    },
    /// To a worker: this request is refused.
    Reject {
        /// Which one.
        request: RequestId,
        /// Why.
        outcome: Outcome,
    },
}
