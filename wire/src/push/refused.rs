//! Why a push was not taken.

use std::fmt;

use super::{CLOCK_SKEW_MAX_MS, Stamp};

/// Why a push was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A header is missing.
    MissingHeader {
        /// Its name.
        name: &'static str,
    },
    /// A header makes no sense.
    Header {
        /// Its name.
        name: &'static str,
        /// What it says, at most 80 characters of it.
        found: String,
        /// What it may say.
        allowed: &'static str,
    },
    /// The signature is not that of this push with this secret.
    Signature,
    /// The push was signed too long ago, or in the future.
    Clock {
        /// The gateway's time.
        now_ms: u64,
        /// The push's.
        stamp: Stamp,
    },
    /// The push is not newer than the one that is stored.
    Replayed {
        /// The push's.
        stamp: Stamp,
        /// That of the stored one.
        last: Stamp,
    },
}

impl Refused {
    /// The HTTP status to answer with.
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
