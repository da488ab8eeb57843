//! What happens outside.

use std::{net::SocketAddr, time::Duration};

use super::{
    End, InferenceRequest, Instant, PlacementEvent, RequestId, ResponseClass, SchedulingResult,
    Snapshot,
};

/// Something that happened, for [`crate::Scheduler::handle`].
#[derive(Clone, Debug, PartialEq)]
#[allow(
    clippy::large_enum_variant,
    reason = "one at a time, handed on and never kept: a box would cost an allocation a request"
)]
pub enum Event {
    /// A new view of the pool.
    Snapshot {
        /// The view.
        snapshot: Snapshot,
        /// When it came, by the clock that the engine is told.
        received_at: Instant,
    },
    /// A request goes where [`crate::Scheduler::decide`] said.
    Sent {
        /// Which one.
        request: RequestId,
        /// When.
        at: Instant,
        /// What it wanted.
        ask: InferenceRequest,
        /// Where it goes, and by what was known then.
        decision: SchedulingResult,
    },
    /// A response's headers came back, or an error in place of them.
    Answered {
        /// To which request.
        request: RequestId,
        /// When.
        at: Instant,
        /// Who sent them, where that is known: after a retry another than the first of the list, and
        /// then all before it in the list have failed. `None` stands for the first, or for nobody
        /// where Envoy answered in their place.
        served_by: Option<SocketAddr>,
        /// What they say.
        answer: ResponseClass,
    },
    /// The first bytes of a streamed response's body came: its first token.
    FirstToken {
        /// Of which response.
        request: RequestId,
        /// When.
        at: Instant,
    },
    /// All of a streamed response came.
    Streamed {
        /// Which one.
        request: RequestId,
        /// The mean time between its tokens.
        tpot: Duration,
    },
    /// An endpoint said with an answer how it is, which is newer than any scrape.
    Reported {
        /// Which one.
        endpoint: SocketAddr,
        /// When.
        at: Instant,
        /// Requests that wait there, if it said so.
        waiting: Option<u32>,
        /// The share of its KV cache in use, 0 to 1, if it said so.
        kv_usage: Option<f32>,
    },
    /// A request is over, answered or not.
    Ended {
        /// Which one.
        request: RequestId,
        /// When.
        at: Instant,
        /// How.
        end: End,
    },
    /// Another worker tells something.
    Noted(PlacementEvent),
}
