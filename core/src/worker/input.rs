//! The events that a worker is told of.

use std::{net::SocketAddr, time::Duration};

use super::WorkerConfig;
use crate::{
    flow::{FlowKey, Rejection},
    model::{
        End, InferenceRequest, Instant, KeptName, Priority, QueueId, RequestId, ResponseStart,
        TokenUsage,
    },
    workers::{Message, Reclaim},
};

/// An event for [`super::turn`].
///
/// Large values are boxed: an input is moved several times in a turn, and a copy of a few hundred bytes
/// costs more than an allocation.
#[derive(Clone, Debug)]
pub enum Input {
    /// A new configuration, which takes the place of the one before it.
    Configured(Box<WorkerConfig>),
    /// A request that was read whole and wants a place.
    Arrived(Box<PendingRequest>),
    /// The headers of a response that are of another endpoint than the first one: Envoy has tried again.
    /// The request is counted there from now on, while nothing tells yet whether the endpoint serves it.
    Rerouted {
        /// The request.
        request: RequestId,
        /// The endpoint that the headers are of.
        served_by: SocketAddr,
    },
    /// The beginning of a response: the first content of a stream, the headers of what fails, or an
    /// error in their place. Headers that promise a stream begin nothing, as engines send them while the
    /// prompt still waits.
    Responded {
        /// The request.
        request: RequestId,
        /// Beginning of the response.
        start: ResponseStart,
    },
    /// The end of a request's stream, however it came and wherever the request was.
    Ended {
        /// The request.
        request: RequestId,
        /// Beginning of its response, if it was not told before: one change of the ledger serves both.
        start: Option<ResponseStart>,
        /// End of the response.
        end: End,
    },
    /// Output tokens that a tenant is charged for; none if its request got no answer. Comes before the request's end.
    Charged {
        /// The request.
        request: RequestId,
        /// The tenant.
        flow: FlowKey,
        /// Output tokens.
        tokens: u32,
    },
    /// The arbiter's grant of a place to a held request.
    Granted {
        /// The request.
        request: RequestId,
        /// The arbiter's term.
        epoch: u64,
        /// Time of the grant.
        at: Instant,
    },
    /// The arbiter's rejection of a held request.
    Rejected {
        /// The request.
        request: RequestId,
        /// The reason, and when to come again.
        rejection: Rejection,
        /// The arbiter's term.
        epoch: u64,
    },
    /// A held request that need not wait any more, since flow control was turned off.
    LetGo {
        /// The request.
        request: RequestId,
    },
    /// A message to the arbiter.
    ToArbiter(Message),
    /// The arbiter's look at its queues.
    Arbitrate,
    /// Places of an arbiter's term that no request takes.
    PlacesUnused {
        /// Number of places.
        places: u32,
        /// True if the same look at the queues granted others.
        others: bool,
        /// The term that they were reserved in.
        epoch: u64,
    },
    /// The arbiter's wish that running requests end, as a more important one finds no room.
    Reclaim(Reclaim),
    /// The arbiter's choice of this worker: the request that goes first of those in flight here is evicted.
    Evict {
        /// Only a request of a priority below this one.
        below: Priority,
        /// The queue on which the arbiter hears of its end.
        reply_to: QueueId,
    },
    /// A beat of the worker's clock.
    Tick,
    /// An answer that names what its endpoint keeps, for other gateways to learn of.
    Kept {
        /// The name.
        name: KeptName,
        /// The endpoint.
        endpoint: SocketAddr,
    },
    /// A wish to know what is new in the store before something is read.
    Look,
}

impl Input {
    /// Returns the inputs that a message from another worker stands for.
    pub fn from_message(message: Message) -> Vec<Self> {
        match message {
            Message::Grant { requests, epoch, at } => {
                let granted = |request| Self::Granted { request, epoch, at };
                requests.into_iter().map(granted).collect()
            }
            Message::Reject { request, rejection, epoch } => {
                vec![Self::Rejected { request, rejection, epoch }]
            }
            to_arbiter @ (Message::Submit { .. }
            | Message::Cancel { .. }
            | Message::Wake
            | Message::Charge { .. }
            | Message::Correct { .. }
            | Message::Evicted) => vec![Self::ToArbiter(to_arbiter)],
            Message::Evict { below, reply_to } => vec![Self::Evict { below, reply_to }],
        }
    }
}

/// A request that wants a place.
#[derive(Clone, Debug)]
pub struct PendingRequest {
    /// Name of the request within the worker.
    pub id: RequestId,
    /// Prompt, priority and wishes of the request.
    pub request: InferenceRequest,
    /// Tenant and band of the request.
    pub flow: FlowKey,
    /// Bytes that Envoy holds while the request waits.
    pub bytes: u64,
    /// Longest wait, if the client names one.
    pub ttl: Option<Duration>,
    /// Time within which the client wants the first token, if it names one.
    pub slo_ttft: Option<Duration>,
}

/// An event of a request in flight that concerns this worker's knowledge alone: no other worker hears
/// of it, and it needs no look at the store.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Observation {
    /// The first content of a streamed response.
    FirstToken {
        /// The request.
        request: RequestId,
        /// Time at which it came.
        at: Instant,
    },
    /// All of a streamed response.
    Streamed {
        /// The request.
        request: RequestId,
        /// Mean time between its tokens.
        tpot: Duration,
    },
    /// The usage that an answer told.
    Metered {
        /// The request.
        request: RequestId,
        /// Time at which the request came.
        at: Instant,
        /// Tokens of prompt and answer.
        usage: TokenUsage,
    },
    /// An endpoint's own word on its load, which is newer than any scrape.
    LoadReported {
        /// The endpoint.
        endpoint: SocketAddr,
        /// Time at which it came.
        at: Instant,
        /// Requests that wait there, if it said so.
        waiting: Option<u32>,
        /// Share of its KV cache in use, 0 to 1, if it said so.
        kv_usage: Option<f32>,
    },
}
