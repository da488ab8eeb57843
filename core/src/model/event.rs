//! Events from outside that change what the scheduler knows.

use std::{net::SocketAddr, time::Duration};

use super::{
    End, InferenceRequest, Instant, PlacementEvent, PromptUsage, RequestId, ResponseClass,
    SchedulingResult, Snapshot,
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
        /// Time of arrival, by the clock that the scheduler is told.
        received_at: Instant,
    },
    /// A request goes where [`crate::Scheduler::decide`] said.
    Sent {
        /// The request.
        request: RequestId,
        /// Time of sending.
        at: Instant,
        /// The request as it was read.
        ask: InferenceRequest,
        /// The endpoints that it goes to, and what was known of them then.
        decision: SchedulingResult,
    },
    /// A response began, by its first content, or an error came in place of that.
    Answered {
        /// To which request.
        request: RequestId,
        /// Time of that.
        at: Instant,
        /// The endpoint that sent the response, where that is known: after a retry it is not the
        /// first of the list, and all before it in the list have failed. `None` stands for the
        /// first, or for no endpoint where Envoy answered in their place.
        served_by: Option<SocketAddr>,
        /// Class of the response, by its status or by the error that it carries.
        answer: ResponseClass,
    },
    /// The first content of a streamed response came: text, reasoning, a call of a tool, sound.
    FirstToken {
        /// Of which response.
        request: RequestId,
        /// Time of that.
        at: Instant,
    },
    /// All of a streamed response came.
    Streamed {
        /// The request.
        request: RequestId,
        /// The mean time between its tokens.
        tpot: Duration,
    },
    /// An endpoint said with an answer how it is, which is newer than any scrape.
    Reported {
        /// The endpoint.
        endpoint: SocketAddr,
        /// Time of the report.
        at: Instant,
        /// Requests that wait there, if it said so.
        waiting: Option<u32>,
        /// The share of its KV cache in use, 0 to 1, if it said so.
        kv_usage: Option<f32>,
    },
    /// The usage in an answer.
    UsageTold {
        /// The request.
        request: RequestId,
        /// Usage as the endpoint counted it.
        usage: PromptUsage,
    },
    /// A request is over, answered or not.
    Ended {
        /// The request.
        request: RequestId,
        /// Time of the end.
        at: Instant,
        /// Manner of the end.
        end: End,
    },
    /// Another worker tells something.
    Noted(PlacementEvent),
}
