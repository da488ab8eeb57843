//! Refusals: the reasons why a request is not sent on, and the answer to each, in one table.

use std::{ops::RangeInclusive, time::Duration};

use picker_core::{
    PickError,
    admission::Denied,
    flow::Rejection,
    uploads::{UploadFault, Uploads},
};
use wire::body::{BodyError, Dialect};

use crate::{host, reply_to::ReplyTo};

/// Header with the reason why the picker answered by itself, in its own words.
const REASON: &str = "x-llm-picker-reason";

/// Header with the reason why a request was dropped, in the EPP's words.
const DROPPED_REASON: &str = "x-llm-d-request-dropped-reason";

/// Bounds of the seconds after which a client may come again. A queue at its limit drains in seconds, and clients that
/// back off further do so by themselves; beyond a minute an estimate is worth nothing.
const RETRY_AFTER_SECONDS: RangeInclusive<u64> = 1..=60;

/// The reason why the filter answers a request by itself.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The body is none that the API takes.
    Body(BodyError),
    /// The body is longer than the configuration allows.
    TooLarge { limit: u64 },
    /// The body stopped on its way, or too much of others is on its way.
    Upload(UploadFault),
    /// It was on its way, and a more important one found no room.
    Evicted,
    /// The bodies of requests that wait pin too much, and this one matters least.
    Displaced,
    /// The pool has no endpoint that may be chosen.
    Unplaced(PickError),
    /// Flow control turned it away.
    Flow(Rejection),
    /// The configuration was refused, and says that requests are not to go on without one.
    Unconfigured,
    /// The call changes one engine of a pool, and the others would not hear of it.
    Control,
    /// The pool is saturated, and its priority is below zero (EPP: legacy admission).
    Shed,
}

/// The answer to the client.
struct Answer {
    status: u16,
    message: String,
    /// One or a few words, the same for every such refusal.
    reason: &'static str,
    dropped_reason: Option<&'static str>,
}

impl Refusal {
    /// Returns the status of the answer.
    pub(crate) fn status(&self) -> u16 {
        self.answer().status
    }

    /// Answers the request that is being handled. The callback must then return `Pause`.
    pub(crate) fn send(&self, dialect: Dialect, to: &ReplyTo) {
        let Answer { status, message, reason, dropped_reason } = self.answer();
        log::debug!("request {}: answered {status} ({reason})", to.request_id());
        let retry_after = self.retry_after().to_string();
        let mut headers = vec![("content-type", "application/json"), (REASON, reason)];
        to.append(&mut headers);
        if let Some(reason) = dropped_reason {
            headers.push((DROPPED_REASON, reason));
        }
        if status == 429 {
            headers.push(("retry-after", &retry_after));
        }
        host::reply(status, headers, dialect.error_body(status, &message).as_bytes());
    }

    /// Returns the seconds after which the client may come again.
    fn retry_after(&self) -> u64 {
        let expected_wait = match self {
            Self::Flow(rejection) => rejection.expected_wait,
            Self::Body(_)
            | Self::TooLarge { .. }
            | Self::Upload(_)
            | Self::Evicted
            | Self::Displaced
            | Self::Unplaced(_)
            | Self::Unconfigured
            | Self::Control
            | Self::Shed => Duration::ZERO,
        };
        let (least, most) = RETRY_AFTER_SECONDS.into_inner();
        expected_wait.as_millis().div_ceil(1_000).try_into().unwrap_or(most).clamp(least, most)
    }

    fn answer(&self) -> Answer {
        let (status, message, dropped_reason) = match self {
            Self::Body(error) => (400, error.to_string(), None),
            Self::TooLarge { limit } => {
                (413, format!("the request body is larger than {limit} bytes"), None)
            }
            Self::Upload(fault) => upload_ended(*fault),
            Self::Evicted => {
                (429, "request evicted by flow control".to_owned(), Some("evicted"))
            }
            Self::Displaced => (
                429,
                "too many request bodies wait for their turn, and this one matters least".to_owned(),
                Some("evicted-queue-pressure"),
            ),
            Self::Unplaced(PickError::NoSnapshot) => (
                503,
                "no endpoints available: no snapshot of the pool has arrived yet".to_owned(),
                Some("rejected-no-endpoints"),
            ),
            Self::Unplaced(PickError::NoEndpoints) => (
                503,
                "failed to find endpoint candidates for serving the request".to_owned(),
                Some("rejected-no-endpoints"),
            ),
            Self::Unplaced(PickError::Filtered(filter)) => (
                429,
                format!("no endpoints available for the given request: {filter} left none"),
                Some("rejected-saturated"),
            ),
            // The EPP wraps this in a 500, though it means that the client may come again.
            Self::Unplaced(PickError::Denied(why @ Denied::Shed { .. })) => {
                (429, why.to_string(), Some("rejected-saturated"))
            }
            Self::Unplaced(PickError::Denied(why @ Denied::TooLate)) => {
                (500, format!("request cannot be admitted: {why}"), None)
            }
            Self::Unplaced(why @ PickError::NoProfile) => {
                (429, format!("failed to find target endpoint: {why}"), None)
            }
            Self::Flow(rejection) => match rejection.outcome.refusal() {
                Some(told) => (told.status, told.message.to_owned(), Some(told.reason)),
                None => (500, "a dispatched request was refused".to_owned(), None),
            },
            Self::Unconfigured => (
                503,
                "no endpoints available: the picker's configuration was refused".to_owned(),
                Some("rejected-no-endpoints"),
            ),
            Self::Control => (
                403,
                "a control call changes one engine and not its pool: send it to the pods themselves"
                    .to_owned(),
                None,
            ),
            Self::Shed => (429, "system saturated, sheddable request dropped".to_owned(), None),
        };
        Answer { status, message, reason: self.reason(), dropped_reason }
    }

    /// Returns the reason, for clients and access logs that count by it.
    const fn reason(&self) -> &'static str {
        match self {
            Self::Body(BodyError::NoPrompt(_)) => "no-prompt",
            Self::Body(BodyError::TooDeep { .. }) => "too-deep",
            Self::Body(BodyError::NotAnObject { .. }) => "no-object",
            Self::Body(BodyError::Malformed { .. } | BodyError::Literal { .. }) => "no-json",
            Self::TooLarge { .. } => "too-large",
            Self::Upload(UploadFault::Stalled) => "upload-stalled",
            Self::Upload(UploadFault::Crowded) => "uploads-crowded",
            Self::Evicted => "evicted",
            Self::Displaced => "bodies-crowded",
            Self::Unplaced(PickError::NoSnapshot) => "no-snapshot",
            Self::Unplaced(PickError::NoEndpoints) => "no-endpoints",
            Self::Unplaced(PickError::Filtered(_)) => "filtered",
            Self::Unplaced(PickError::Denied(_)) => "denied",
            Self::Unplaced(PickError::NoProfile) => "no-profile",
            Self::Flow(_) => "flow-control",
            Self::Unconfigured => "unconfigured",
            Self::Control => "control-call",
            Self::Shed => "saturated",
        }
    }
}

/// Returns status, message and dropped reason for an upload that ends.
fn upload_ended(fault: UploadFault) -> (u16, String, Option<&'static str>) {
    match fault {
        UploadFault::Stalled => {
            let seconds = Uploads::STALL_MAX.as_secs();
            (408, format!("the request body stood still for {seconds} s"), None)
        }
        UploadFault::Crowded => (
            503,
            "too many request bodies are on their way, and this one stood still for longest"
                .to_owned(),
            Some("rejected-saturated"),
        ),
    }
}
