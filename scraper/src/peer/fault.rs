//! Faults between the scraper and a peer, which is a pod or an Envoy.

use std::{fmt, io, time::Duration};

use hyper::StatusCode;

/// Reason why an exchange with a peer failed. Displayed in logs, after the peer's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing listens on the port.
    Refused,
    /// No connection could be made for another reason, in the system's words.
    Unreachable(String),
    /// The answer was not complete after this long.
    TimedOut(Duration),
    /// The connection ended within the exchange, or its bytes were not HTTP.
    Broken(String),
    /// The peer answered with an error; with its message, shortened.
    Status(StatusCode, String),
    /// The answer is longer than this many bytes.
    TooLarge(usize),
    /// The answer arrived and can't be understood.
    Garbage(String),
    /// The pod's engine sleeps.
    Asleep,
}

/// A [`Fault`] without its particulars, by which logs and metrics tell faults apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    Refused,
    Unreachable,
    TimedOut,
    Broken,
    Status(u16),
    TooLarge,
    Garbage,
    Asleep,
}

/// Every value of the `outcome` label.
pub(crate) const OUTCOMES: [&str; 11] = [
    "ok",
    "refused",
    "unreachable",
    "timeout",
    "broken",
    "status-4xx",
    "status-5xx",
    "status-other",
    "too-large",
    "garbage",
    "asleep",
];

impl Fault {
    /// True if the peer has read the request and answered it with an error.
    pub(crate) const fn is_answer(&self) -> bool {
        matches!(self, Self::Status(..))
    }

    /// True if the peer answers well, but not with the page that was asked for.
    pub(crate) const fn is_about_page(&self) -> bool {
        matches!(self, Self::Status(..) | Self::Garbage(_) | Self::TooLarge(_))
    }

    /// True if no connection was made.
    pub(crate) const fn is_about_connection(&self) -> bool {
        matches!(self, Self::Refused | Self::Unreachable(_))
    }

    /// True if the resource is missing, or the scraper may not see it.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(self, Self::Status(StatusCode::NOT_FOUND | StatusCode::FORBIDDEN, _))
    }

    /// True if the scraper may not see the resource, be it there or not.
    pub(crate) const fn is_hidden(&self) -> bool {
        matches!(self, Self::Status(StatusCode::FORBIDDEN, _))
    }

    pub(crate) fn kind(&self) -> FaultKind {
        match self {
            Self::Refused => FaultKind::Refused,
            Self::Unreachable(_) => FaultKind::Unreachable,
            Self::TimedOut(_) => FaultKind::TimedOut,
            Self::Broken(_) => FaultKind::Broken,
            Self::Status(status, _) => FaultKind::Status(status.as_u16()),
            Self::TooLarge(_) => FaultKind::TooLarge,
            Self::Garbage(_) => FaultKind::Garbage,
            Self::Asleep => FaultKind::Asleep,
        }
    }
}

impl FaultKind {
    /// True if one such fault proves that trying again at once is useless: the system says that
    /// nothing listens, or the peer has read the request and rejects it.
    ///
    /// 409 is no proof: of two scrapers that push to one Envoy, the slower loses a round now and
    /// then. Nor are those of a peer that has no time now.
    pub(crate) fn is_certain(self) -> bool {
        match self {
            Self::Refused | Self::Asleep => true,
            Self::Status(status) => {
                (400..500).contains(&status) && !matches!(status, 408 | 409 | 425 | 429)
            }
            Self::Unreachable | Self::TimedOut | Self::Broken | Self::TooLarge | Self::Garbage => {
                false
            }
        }
    }

    /// Returns the value of the `outcome` label in metrics, one of [`OUTCOMES`].
    pub(crate) fn outcome(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timeout",
            Self::Broken => "broken",
            Self::Status(400..500) => "status-4xx",
            Self::Status(500..600) => "status-5xx",
            Self::Status(_) => "status-other",
            Self::TooLarge => "too-large",
            Self::Garbage => "garbage",
            Self::Asleep => "asleep",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => write!(f, "connection refused"),
            Self::Unreachable(why) => write!(f, "failed to connect: {why}"),
            Self::TimedOut(limit) => {
                write!(f, "no complete answer within {}", humantime::format_duration(*limit))
            }
            Self::Broken(why) => write!(f, "connection broke: {why}"),
            Self::Status(status, said) if said.is_empty() => write!(f, "answered {status}"),
            Self::Status(status, said) => write!(f, "answered {status}: {said}"),
            Self::TooLarge(limit) => write!(f, "answer is longer than {limit} bytes"),
            Self::Garbage(why) => write!(f, "invalid answer: {why}"),
            Self::Asleep => write!(f, "the engine sleeps"),
        }
    }
}

/// The fault of an attempt to connect.
impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::ConnectionRefused {
            Self::Refused
        } else {
            Self::Unreachable(error.to_string())
        }
    }
}

/// The fault of an exchange over a connection that was made.
impl From<hyper::Error> for Fault {
    fn from(error: hyper::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_listed() {
        let kinds = [
            FaultKind::Refused,
            FaultKind::Unreachable,
            FaultKind::TimedOut,
            FaultKind::Broken,
            FaultKind::Status(302),
            FaultKind::Status(409),
            FaultKind::Status(503),
            FaultKind::TooLarge,
            FaultKind::Garbage,
            FaultKind::Asleep,
        ];
        for kind in kinds {
            assert!(OUTCOMES.contains(&kind.outcome()), "{kind:?}");
        }
    }

    #[test]
    fn a_refusal_is_proof_and_a_lost_race_is_not() {
        assert!(FaultKind::Refused.is_certain() && FaultKind::Status(401).is_certain());
        assert!(!FaultKind::Status(409).is_certain() && !FaultKind::Status(503).is_certain());
    }
}
