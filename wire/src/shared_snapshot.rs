//! The snapshot of a pool in shared data, from the instance that takes it in to every worker.
//!
//! Fixed little-endian integers stand in front of the body as it came. A value that is too short
//! reads as if it were absent, which is what a fresh Envoy holds. The number of snapshots that were
//! ever stored is in the [`ledger`](crate::ledger).

use picker_core::Instant;

use crate::{fixed::split_u64, push::Stamp};

/// Snapshot as it was received, and the time of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedSnapshot {
    /// Stamp that the scraper signed it with.
    pub stamp: Stamp,
    /// Time at which this Envoy received it, by Envoy's clock.
    pub received_at: Instant,
    /// Bytes for [`crate::snapshot::decode`].
    pub body: Vec<u8>,
}

impl SharedSnapshot {
    /// Returns the bytes that [`SharedSnapshot::decode`] reads.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(24 + self.body.len());
        bytes.extend(self.stamp.time_ms.to_le_bytes());
        bytes.extend(self.stamp.sequence.to_le_bytes());
        bytes.extend(self.received_at.as_nanos().to_le_bytes());
        bytes.extend(&self.body);
        bytes
    }

    /// Reads a snapshot. `None` where none was stored.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_reads_back_and_a_short_one_is_absent() {
        let stamp = Stamp { time_ms: 3, sequence: 4 };
        let received_at = Instant::from_nanos(5);
        let snapshot = SharedSnapshot { stamp, received_at, body: b"snapshot".to_vec() };
        assert_eq!(SharedSnapshot::decode(&snapshot.encode()), Some(snapshot));
        assert_eq!(SharedSnapshot::decode(&[0; 23]), None);
    }
}
