//! What can go wrong between the scraper and a peer: a pod or an Envoy.

use std::{fmt, io, time::Duration};

use hyper::StatusCode;

/// Why an exchange with a peer failed. Displayed in logs, after the peer's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing listens on the port.
    Refused,
    /// No connection could be made for another reason, in the system's words.
    Unreachable(String),
    /// The answer was not complete after this long.
    TimedOut(Duration),
    /// The connection ended within the exchange, or what came was not HTTP.
    Broken(String),
    /// The peer answered, but not with success; with what it said, shortened.
    Status(StatusCode, String),
    /// The answer is longer than this many bytes.
    TooLarge(usize),
    /// The answer arrived and makes no sense.
    Garbage(String),
}

/// A [`Fault`] without its particulars: what tells two troubles apart in logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing listens on the port.
    Refused,
    /// No connection for another reason.
    Unreachable,
    /// Too slow.
    TimedOut,
    /// Ended half-way.
    Broken,
    /// Answered with this status.
    Status(u16),
    /// Answered with too much.
    TooLarge,
    /// Answered nonsense.
    Garbage,
}

/// Every value of the `outcome` label.
pub(crate) const OUTCOMES: [&str; 10] = [
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
];

impl Fault {
    /// Whether the peer has read the request and answered it.
    pub(crate) const fn is_answer(&self) -> bool {
        matches!(self, Self::Status(..))
    }

    /// Whether the peer answers well, but not with what was asked for.
    pub(crate) const fn is_about_page(&self) -> bool {
        matches!(self, Self::Status(..) | Self::Garbage(_))
    }

    /// Whether it says that what was asked for is not there, or not for us to see.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(self, Self::Status(StatusCode::NOT_FOUND | StatusCode::FORBIDDEN, _))
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Refused => Kind::Refused,
            Self::Unreachable(_) => Kind::Unreachable,
            Self::TimedOut(_) => Kind::TimedOut,
            Self::Broken(_) => Kind::Broken,
            Self::Status(status, _) => Kind::Status(status.as_u16()),
            Self::TooLarge(_) => Kind::TooLarge,
            Self::Garbage(_) => Kind::Garbage,
        }
    }
}

impl Kind {
    /// Whether one such fault proves that trying again at once is useless: the system says that
    /// nothing listens, or the peer has read the request and will not have it.
    ///
    /// 409 is no proof: of two scrapers that push to one Envoy, the slower loses a round now and
    /// then.
    pub(crate) fn is_certain(self) -> bool {
        match self {
            Self::Refused => true,
            Self::Status(status) => (400..500).contains(&status) && status != 409,
            Self::Unreachable | Self::TimedOut | Self::Broken | Self::TooLarge | Self::Garbage => {
                false
            }
        }
    }

    /// The value of the `outcome` label in metrics, one of [`OUTCOMES`].
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
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => write!(f, "connection refused"),
            Self::Unreachable(why) => write!(f, "no connection: {why}"),
            Self::TimedOut(limit) => {
                write!(f, "no complete answer within {}", humantime::format_duration(*limit))
            }
            Self::Broken(why) => write!(f, "connection broke: {why}"),
            Self::Status(status, said) if said.is_empty() => write!(f, "answered {status}"),
            Self::Status(status, said) => write!(f, "answered {status}: {said}"),
            Self::TooLarge(limit) => write!(f, "answer is longer than {limit} bytes"),
            Self::Garbage(why) => write!(f, "answer makes no sense: {why}"),
        }
    }
}

/// From an attempt to connect.
impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::ConnectionRefused {
            Self::Refused
        } else {
            Self::Unreachable(error.to_string())
        }
    }
}

/// From an exchange over a connection that stood.
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
            Kind::Refused,
            Kind::Unreachable,
            Kind::TimedOut,
            Kind::Broken,
            Kind::Status(302),
            Kind::Status(409),
            Kind::Status(503),
            Kind::TooLarge,
            Kind::Garbage,
        ];
        for kind in kinds {
            assert!(OUTCOMES.contains(&kind.outcome()), "{kind:?}");
        }
    }

    #[test]
    fn a_refusal_is_proof_and_a_lost_race_is_not() {
        assert!(Kind::Refused.is_certain() && Kind::Status(401).is_certain());
        assert!(!Kind::Status(409).is_certain() && !Kind::Status(503).is_certain());
    }
}
