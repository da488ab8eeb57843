//! The outside of binary messages: mark and version.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Mark and version of one kind of message.
pub(crate) struct Frame {
    pub(crate) magic: [u8; 3],
    pub(crate) version: u8,
}

/// Error of a message that is not written or not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// Another beginning than the mark.
    Magic {
        /// Mark that was expected.
        allowed: [u8; 3],
    },
    /// Another version.
    Version {
        /// Version of the message.
        found: u8,
        /// Version that is understood.
        allowed: u8,
    },
    /// Inside that is cut off or makes no sense.
    Malformed,
    /// More bytes after the end.
    Trailing {
        /// Number of bytes too many.
        bytes: usize,
    },
    /// Part that is out of bounds.
    Bound {
        /// Name of the part.
        what: &'static str,
        /// Bound, with the unit.
        allowed: &'static str,
    },
}

impl std::error::Error for FrameError {}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic { allowed } => {
                write!(f, "does not begin with {:?}", String::from_utf8_lossy(allowed))
            }
            Self::Version { found, allowed } => {
                write!(f, "found version {found}; allowed: {allowed}")
            }
            Self::Malformed => f.write_str("cut off or not decodable"),
            Self::Trailing { bytes } => write!(f, "{bytes} bytes after the end"),
            Self::Bound { what, allowed } => write!(f, "{what} out of bounds; allowed: {allowed}"),
        }
    }
}

impl Frame {
    pub(crate) fn encode(&self, inside: &impl Serialize) -> Result<Vec<u8>, FrameError> {
        let mut bytes = Vec::with_capacity(256);
        self.begin(&mut bytes);
        postcard::to_extend(inside, bytes).map_err(|_| FrameError::Malformed)
    }

    /// Appends mark and version, with which a message begins.
    pub(crate) fn begin(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.magic);
        bytes.push(self.version);
    }

    /// Returns the inside of a message of this mark and version.
    pub(crate) fn strip<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], FrameError> {
        let rest =
            bytes.strip_prefix(&self.magic).ok_or(FrameError::Magic { allowed: self.magic })?;
        let (version, rest) = rest.split_first().ok_or(FrameError::Malformed)?;
        if *version != self.version {
            return Err(FrameError::Version { found: *version, allowed: self.version });
        }
        Ok(rest)
    }

    /// Reads a message. The result borrows from `bytes`, and no list in it is larger than they are.
    pub(crate) fn decode<'a, T: Deserialize<'a>>(&self, bytes: &'a [u8]) -> Result<T, FrameError> {
        let rest = self.strip(bytes)?;
        let (inside, rest) = postcard::take_from_bytes(rest).map_err(|_| FrameError::Malformed)?;
        if rest.is_empty() { Ok(inside) } else { Err(FrameError::Trailing { bytes: rest.len() }) }
    }
}

/// Checks a bound.
pub(crate) fn bound(
    within: bool,
    what: &'static str,
    allowed: &'static str,
) -> Result<(), FrameError> {
    if within { Ok(()) } else { Err(FrameError::Bound { what, allowed }) }
}
