//! The values that the workers of one Envoy leave for each other in shared data.
//!
//! Fixed little-endian integers in front of what they frame, written by the same module that reads
//! them. A value that is too short reads as if it were not there, which is what a fresh Envoy
//! holds. How much has ever been put here is in the [`ledger`](crate::ledger).

use picker_core::{Instant, PlacementEvent};

use crate::{FrameError, note, push::Stamp};

/// A snapshot as it was pushed, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// What the scraper signed it with.
    pub stamp: Stamp,
    /// When this Envoy received it, by Envoy's clock.
    pub received_at: Instant,
    /// What [`crate::snapshot::decode`] reads.
    pub body: Vec<u8>,
}

impl Posted {
    /// The bytes that [`Posted::decode`] reads.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(24 + self.body.len());
        bytes.extend(self.stamp.time_ms.to_le_bytes());
        bytes.extend(self.stamp.sequence.to_le_bytes());
        bytes.extend(self.received_at.as_nanos().to_le_bytes());
        bytes.extend(&self.body);
        bytes
    }

    /// `None` where nothing was posted.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (time_ms, bytes) = split_u64(bytes)?;
        let (sequence, bytes) = split_u64(bytes)?;
        let (received_at, body) = split_u64(bytes)?;
        Some(Self {
            stamp: Stamp { time_ms, sequence },
            received_at: Instant::from_nanos(received_at),
            body: body.to_vec(),
        })
    }
}

/// Notes at their position, which tells a reader whether the ring has moved on under it.
///
/// # Errors
/// Where [`note::encode`] has one.
pub fn encode_notes(position: u64, notes: &[PlacementEvent]) -> Result<Vec<u8>, FrameError> {
    let mut bytes = position.to_le_bytes().to_vec();
    bytes.extend(note::encode(notes)?);
    Ok(bytes)
}

/// The position and the notes; none of them where this version cannot read them. `None` in all
/// where nothing was written.
#[must_use]
pub fn decode_notes(bytes: &[u8]) -> Option<(u64, Vec<PlacementEvent>)> {
    let (position, bytes) = split_u64(bytes)?;
    Some((position, note::decode(bytes).unwrap_or_default()))
}

fn split_u64(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_reads_back_and_a_short_one_is_empty() {
        let stamp = Stamp { time_ms: 3, sequence: 4 };
        let posted =
            Posted { stamp, received_at: Instant::from_nanos(5), body: b"snapshot".to_vec() };
        assert_eq!(Posted::decode(&posted.encode()), Some(posted));
        assert_eq!(Posted::decode(&[0; 23]), None);
        assert_eq!(decode_notes(&[0; 7]), None);
    }
}
