//! The messages between the workers of one pool, and their limits.

use crate::{
    flow::{FlowKey, Rejection, Ticket},
    model::{Instant, Priority, QueueId, RequestId, WorkerId},
};

/// A message with its address. A message may come late or never, but messages between the same two
/// workers keep their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// The receiver's queue.
    pub to: QueueId,
    /// The message itself.
    pub message: Message,
}

/// A message from one worker to another, or to itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// To the arbiter: these requests wait. Handed in again after each change of arbiter.
    Submit {
        /// The worker that holds the requests.
        worker: WorkerId,
        /// The queue on which that worker takes the answers.
        reply_to: QueueId,
        /// Term of the arbiter that the tickets are meant for; an arbiter of another term ignores them.
        epoch: u64,
        /// True if an earlier arbiter had the tickets: then no limit applies to them again.
        again: bool,
        /// The tickets, at most [`Message::TICKETS_MAX`].
        tickets: Vec<Ticket>,
    },
    /// To the arbiter: this request waits no more, because its client left.
    Cancel {
        /// The worker that held the request.
        worker: WorkerId,
        /// The request, by its name within that worker.
        request: RequestId,
    },
    /// To the arbiter: there may be room now.
    Wake,
    /// To the arbiter: a request of this flow made the engine write this many tokens.
    Charge {
        /// The flow of the request.
        flow: FlowKey,
        /// Output tokens.
        tokens: u32,
        /// Output tokens that the flow was charged for when the request was dispatched; 0 if another worker decided
        /// then.
        expected: u32,
    },
    /// To the arbiter: a granted request of this flow costs more or less than it was charged for.
    Correct {
        /// The flow of the request.
        flow: FlowKey,
        /// Uncached prompt tokens by its ticket.
        charged: u32,
        /// Uncached prompt tokens on the endpoint that the request goes to; 0 if it goes nowhere.
        found: u32,
    },
    /// To a worker: these requests go now.
    Grant {
        /// The granted requests in their order, at most [`Message::GRANTS_MAX`].
        requests: Vec<RequestId>,
        /// Term of the arbiter that grants the places; void under a later arbiter.
        epoch: u64,
        /// Time of the grant, from which its way to the worker is measured.
        at: Instant,
    },
    /// To a worker: this request is refused.
    Reject {
        /// The request, by its name within the receiver.
        request: RequestId,
        /// The reason, and when to come again.
        rejection: Rejection,
        /// Term of the arbiter that refuses it.
        epoch: u64,
    },
    /// To a worker: the request that is to go first of those in flight there is evicted.
    Evict {
        /// Only a request of a priority below this one.
        below: Priority,
        /// The queue on which the arbiter hears of its end.
        reply_to: QueueId,
    },
    /// To the arbiter: a request that was to be evicted has ended, or there was none.
    Evicted,
}

impl Message {
    /// Tickets in one message: with 256 bytes each for the longest names, below 32 kB.
    pub const TICKETS_MAX: usize = 64;

    /// Grants in one message, and in one look of the arbiter: as many streams as may be resumed in one
    /// callback of the host.
    pub const GRANTS_MAX: u32 = 64;
}
