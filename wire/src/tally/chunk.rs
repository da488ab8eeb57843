//! Some label sets of one worker together, as one value of shared data: so that a worker with a
//! thousand label sets writes only some values, and a reader passes on those that changed without
//! reading them.

use serde::{Serialize, Serializer};

use crate::{FrameError, frame::Frame};

/// Label sets of a chunk. A set has at most 4 kB, so that a chunk stays below [`BYTES_MAX`].
pub(super) const SETS: u32 = 8;

/// Label sets of a chunk, as a length.
pub const SETS_MAX: usize = SETS as usize;

/// Bytes of a chunk at most.
pub const BYTES_MAX: usize = 64 << 10;

pub(super) const FRAME: Frame = Frame { magic: *b"LPC", version: 5 };

/// Bytes that are written in one piece, and not one by one as a list of numbers would be.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// Returns the bytes that [`newer`] reads: of each label set the version and its own bytes.
#[must_use]
pub fn encode(sets: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let sets: Vec<(u32, Bytes<'_>)> =
        sets.iter().map(|(version, set)| (*version, Bytes(set))).collect();
    // Numbers and bytes always serialise.
    FRAME.encode(&sets).unwrap_or_default()
}

/// Returns the label sets, still encoded, of a later version than `version`.
///
/// # Errors
/// For bytes that are no chunk.
pub fn newer(bytes: &[u8], version: u32) -> Result<Vec<&[u8]>, FrameError> {
    let sets: Vec<(u32, &[u8])> = FRAME.decode(bytes)?;
    Ok(sets.into_iter().filter(|(it, _)| *it > version).map(|(_, set)| set).collect())
}
