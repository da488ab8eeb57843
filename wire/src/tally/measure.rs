//! The measures: families under the EPP's names, and the label of a fixed value that tells the
//! measures of one family apart.

use serde::{Deserialize, Serialize};

use super::{
    disagg_decision::DisaggDecision,
    family::{self, Family},
    own_error::OwnError,
    queue_outcome::{EnqueueOutcome, QueueOutcome},
};

/// Number or distribution that is counted for a label set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Measure {
    /// Requests that are over.
    Requests,
    /// Requests that failed, by the EPP's code.
    Errors(ErrorCode),
    /// Time from a request's arrival to its end.
    Duration,
    /// Time from a request's arrival to the beginning of the answer's body, by whether it is a
    /// stream.
    Ttft {
        /// True for a stream of events.
        streaming: bool,
    },
    /// Duration by the output tokens.
    PerOutputToken,
    /// Mean time between a stream's tokens.
    StreamedTpot,
    /// Time between two events of a stream: one value for each gap.
    StreamedItl,
    /// Bytes of a request's body.
    RequestBytes,
    /// Bytes of an answer's body.
    ResponseBytes,
    /// Tokens of the prompt, by the engine's usage.
    InputTokens,
    /// Tokens of the prompt that the engine had cached, by its usage.
    CachedTokens,
    /// Tokens of the answer, by the engine's usage.
    OutputTokens,
    /// Time in flow control, by how it ended.
    QueueDuration(QueueOutcome),
    /// Requests that left flow control, by how that ended.
    QueueOutcomes(QueueOutcome),
    /// Decisions, by whether they found an endpoint.
    Attempts {
        /// True if the request was sent.
        sent: bool,
    },
    /// Requests that a rule sent to another model.
    Rewrites,
    /// Share of a prompt's blocks that the chosen endpoint was expected to have cached.
    HitRatio,
    /// Bytes of a prompt that the chosen endpoint was expected to have cached.
    HitBytes,
    /// Time from a grant to the request's going on.
    GrantToResume,
    /// Requests that were given an endpoint.
    Picked,
    /// Requests that were let through without an endpoint.
    FailedOpen,
    /// Answers that did not say what they cost, so that it was estimated.
    Unmetered,
    /// Requests that were answered with an error, by status.
    Refused(RefusedStatus),
    /// Requests that others sent where only the choice is counted, by whether they agreed.
    Observed(Agreement),
    /// Of those that agreed, the expected time to the first token.
    ExpectedTtft,
    /// Of the same, the time that it took.
    ObservedTtft,
    /// Of all, those that flow control would have held or turned away.
    Overruled,
    /// Requests that an endpoint served.
    EndpointRequests,
    /// Of those, the ones that failed.
    EndpointErrors,
    /// Time to the first token at an endpoint.
    EndpointTtft,
    /// Time between two events of a stream from an endpoint.
    EndpointItl,
    /// Tokens that an endpoint generated, by its usage.
    EndpointTokens,
    /// Time that the choice for a request took, flow control's gate included.
    SchedulerDuration,
    /// Time that flow control took to let a request go or to queue it.
    EnqueueDuration(EnqueueOutcome),
    /// Requests that were ended while they ran, for more important ones.
    Evicted,
    /// Requests that another pool took, by the reason.
    Fallbacks(FallbackReason),
    /// Time that the picker worked on a request, of some requests.
    RequestProcessing,
    /// Time that the picker worked on an answer, of the same requests.
    ResponseProcessing,
    /// Faults of the picker's own.
    OwnErrors(OwnError),
    /// Time that a plugin took in one choice, in billionths of a second, of some requests.
    PluginDuration,
    /// Time that a look at flow control's queues took.
    DispatchCycle,
    /// Requests of a pool with stages, by those that they ran apart.
    DisaggDecisions(DisaggDecision),
}

/// Agreement of the picker's choice with another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Agreement {
    /// The picker and the others chose the same endpoint.
    Same,
    /// The request went to another endpoint.
    Other,
    /// The endpoint that the request went to is not known.
    Unknown,
}

/// Reason why another pool took a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FallbackReason {
    /// The pool has no endpoints, or no snapshot of it has come.
    Empty,
    /// No endpoint of the pool is up and serves.
    Failing,
    /// The pool is as saturated as its requests may see it.
    Saturated,
}

/// EPP's code of a request's failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the EPP's own, and say it")]
pub enum ErrorCode {
    BadRequest,
    PreconditionFailed,
    ResourceExhausted,
    ServiceUnavailable,
    Internal,
    ModelServerError,
    ClientDisconnect,
}

/// Status of an answer in the pool's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the numbers say it")]
pub enum RefusedStatus {
    S400,
    S408,
    S413,
    S429,
    S500,
    S503,
}

impl Measure {
    /// Returns the family that the measure is of.
    #[must_use]
    pub const fn family(self) -> Family {
        match self {
            Self::Requests => family::REQUESTS,
            Self::Errors(_) => family::ERRORS,
            Self::Duration => family::DURATION,
            Self::Ttft { .. } => family::TTFT,
            Self::PerOutputToken => family::PER_OUTPUT_TOKEN,
            Self::StreamedTpot => family::STREAMED_TPOT,
            Self::StreamedItl => family::STREAMED_ITL,
            Self::RequestBytes => family::REQUEST_BYTES,
            Self::ResponseBytes => family::RESPONSE_BYTES,
            Self::InputTokens => family::INPUT_TOKENS,
            Self::CachedTokens => family::CACHED_TOKENS,
            Self::OutputTokens => family::OUTPUT_TOKENS,
            Self::QueueDuration(_) => family::QUEUE_DURATION,
            Self::QueueOutcomes(_) => family::QUEUE_OUTCOMES,
            Self::Attempts { .. } => family::ATTEMPTS,
            Self::Rewrites => family::REWRITES,
            Self::HitRatio => family::HIT_RATIO,
            Self::HitBytes => family::HIT_BYTES,
            Self::GrantToResume => family::GRANT_TO_RESUME,
            Self::Picked => family::PICKED,
            Self::FailedOpen => family::FAILED_OPEN,
            Self::Unmetered => family::UNMETERED,
            Self::Refused(_) => family::REFUSED,
            Self::Observed(_) => family::OBSERVED,
            Self::ExpectedTtft => family::EXPECTED_TTFT,
            Self::ObservedTtft => family::OBSERVED_TTFT,
            Self::Overruled => family::OVERRULED,
            Self::EndpointRequests => family::ENDPOINT_REQUESTS,
            Self::EndpointErrors => family::ENDPOINT_ERRORS,
            Self::EndpointTtft => family::ENDPOINT_TTFT,
            Self::EndpointItl => family::ENDPOINT_ITL,
            Self::EndpointTokens => family::ENDPOINT_TOKENS,
            Self::SchedulerDuration => family::SCHEDULER_DURATION,
            Self::EnqueueDuration(_) => family::ENQUEUE_DURATION,
            Self::Evicted => family::EVICTED,
            Self::Fallbacks(_) => family::FALLBACKS,
            Self::RequestProcessing => family::REQUEST_PROCESSING,
            Self::ResponseProcessing => family::RESPONSE_PROCESSING,
            Self::OwnErrors(_) => family::OWN_ERRORS,
            Self::PluginDuration => family::PLUGIN_DURATION,
            Self::DispatchCycle => family::DISPATCH_CYCLE,
            Self::DisaggDecisions(_) => family::DISAGG_DECISIONS,
        }
    }

    /// Returns the label that tells the measure from others of its family, with its value.
    #[must_use]
    pub const fn label(self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::Errors(code) => ("error_code", code.name()),
            Self::Ttft { streaming: true } => ("streaming", "true"),
            Self::Ttft { streaming: false } => ("streaming", "false"),
            Self::QueueDuration(outcome) | Self::QueueOutcomes(outcome) => {
                ("outcome", outcome.name())
            }
            Self::Attempts { sent: true } => ("status", "success"),
            Self::Attempts { sent: false } => ("status", "failure"),
            Self::Refused(status) => ("code", status.name()),
            Self::EnqueueDuration(outcome) => ("outcome", outcome.name()),
            Self::Observed(agreement) => ("choice", agreement.name()),
            Self::Fallbacks(reason) => ("reason", reason.name()),
            Self::OwnErrors(error) => ("kind", error.name()),
            Self::DisaggDecisions(decision) => ("decision_type", decision.name()),
            Self::Requests
            | Self::Duration
            | Self::PerOutputToken
            | Self::StreamedTpot
            | Self::StreamedItl
            | Self::RequestBytes
            | Self::ResponseBytes
            | Self::InputTokens
            | Self::CachedTokens
            | Self::OutputTokens
            | Self::Rewrites
            | Self::HitRatio
            | Self::HitBytes
            | Self::GrantToResume
            | Self::Picked
            | Self::FailedOpen
            | Self::Unmetered
            | Self::ExpectedTtft
            | Self::ObservedTtft
            | Self::Overruled
            | Self::EndpointRequests
            | Self::EndpointErrors
            | Self::EndpointTtft
            | Self::EndpointItl
            | Self::EndpointTokens
            | Self::SchedulerDuration
            | Self::Evicted
            | Self::RequestProcessing
            | Self::ResponseProcessing
            | Self::PluginDuration
            | Self::DispatchCycle => return None,
        })
    }
}

impl FallbackReason {
    /// Returns the word in the metric and in the decision header.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Failing => "failing",
            Self::Saturated => "saturated",
        }
    }
}

impl Agreement {
    /// Returns the word in the metric.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Other => "other",
            Self::Unknown => "unknown",
        }
    }
}

impl From<Option<bool>> for Agreement {
    fn from(agrees: Option<bool>) -> Self {
        match agrees {
            Some(true) => Self::Same,
            Some(false) => Self::Other,
            None => Self::Unknown,
        }
    }
}

impl ErrorCode {
    /// Returns the code as the EPP spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequest",
            Self::PreconditionFailed => "PreconditionFailed",
            Self::ResourceExhausted => "ResourceExhausted",
            Self::ServiceUnavailable => "ServiceUnavailable",
            Self::Internal => "Internal",
            Self::ModelServerError => "ModelServerError",
            Self::ClientDisconnect => "ClientDisconnect",
        }
    }

    /// Returns the code of an answer in the pool's place.
    #[must_use]
    pub const fn from_status(status: u16) -> Self {
        match status {
            412 => Self::PreconditionFailed,
            429 => Self::ResourceExhausted,
            503 => Self::ServiceUnavailable,
            500.. => Self::Internal,
            _ => Self::BadRequest,
        }
    }
}

impl RefusedStatus {
    /// Returns the status of an answer; another client error is a 400, as before a body is read.
    #[must_use]
    pub const fn from_status(status: u16) -> Self {
        match status {
            408 => Self::S408,
            413 => Self::S413,
            429 => Self::S429,
            503 => Self::S503,
            500.. => Self::S500,
            _ => Self::S400,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::S400 => "400",
            Self::S408 => "408",
            Self::S413 => "413",
            Self::S429 => "429",
            Self::S500 => "500",
            Self::S503 => "503",
        }
    }
}
