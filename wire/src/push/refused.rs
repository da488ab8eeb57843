//! The error of a push that is refused.

use std::fmt;

use super::{CLOCK_SKEW_MAX_MS, Stamp};

/// Error of a push that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A header is missing.
    MissingHeader {
        /// Name of the header.
        name: &'static str,
    },
    /// A header makes no sense.
    Header {
        /// Name of the header.
        name: &'static str,
        /// Value of the header, at most 80 characters of it.
        found: String,
        /// Values that are allowed.
        allowed: &'static str,
    },
    /// Signature of another push or with another secret.
    Signature,
    /// Time of signing too long ago, or in the future.
    Clock {
        /// Time of the gateway in Unix milliseconds.
        now_ms: u64,
        /// Stamp of the push.
        stamp: Stamp,
    },
    /// Push that is not newer than the one that is stored.
    Replayed {
        /// Stamp of the push.
        stamp: Stamp,
        /// Stamp of the stored one.
        last: Stamp,
    },
}

impl Refused {
    /// Returns the HTTP status to answer with.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Header { .. } => 400,
            Self::MissingHeader { .. } | Self::Signature | Self::Clock { .. } => 401,
            Self::Replayed { .. } => 409,
        }
    }
}

impl std::error::Error for Refused {}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingHeader { name } => write!(f, "the header {name} is missing"),
            Self::Header { name, found, allowed } => {
                write!(f, "{name}: found {found:?}; allowed: {allowed}")
            }
            Self::Signature => f.write_str("the signature does not match"),
            Self::Clock { now_ms, stamp } => write!(
                f,
                "signed at {} ms, but it is {now_ms} ms here; allowed: {CLOCK_SKEW_MAX_MS} ms apart",
                stamp.time_ms
            ),
            Self::Replayed { stamp, last } => {
                write!(f, "found {stamp}; allowed: newer than {last}, which is stored")
            }
        }
    }
}
