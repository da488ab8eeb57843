//! The snapshot of a pool in shared data, from the instance that takes it in to every worker.
//!
//! Fixed little-endian integers stand in front of the body as it came: stamp, time, the number of known
//! scraper processes, and three for each of these. A value that is too short
//! reads as if it were absent, which is what a fresh Envoy holds. The number of snapshots that were
//! ever stored is in the [`ledger`](crate::ledger).

use picker_core::Instant;

use crate::{
    fixed::split_u64,
    push::{KnownStart, PushHistory, Stamp},
};

/// Version of what stands in front of the body, and so of the value's key.
pub(crate) const VERSION: u8 = 1;

/// Snapshot as it was received, and the time of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedSnapshot {
    /// Stamp that the scraper signed it with.
    pub stamp: Stamp,
    /// Scraper processes that this and earlier ones came from.
    pub starts: Vec<KnownStart>,
    /// Time at which this Envoy received it, by Envoy's clock.
    pub received_at: Instant,
    /// Bytes for [`crate::snapshot::decode`].
    pub body: Vec<u8>,
}

impl SharedSnapshot {
    /// Returns the bytes that [`SharedSnapshot::decode`] reads.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let starts = self.starts.iter();
        let starts = starts.flat_map(|it| [it.start.into(), it.uptime_ms, it.due_ms]);
        let mut bytes = Vec::with_capacity(32 + 24 * self.starts.len() + self.body.len());
        bytes.extend(self.stamp.time_ms.to_le_bytes());
        bytes.extend(self.stamp.sequence.to_le_bytes());
        bytes.extend(self.received_at.as_nanos().to_le_bytes());
        bytes.extend(u64::try_from(self.starts.len()).unwrap_or(u64::MAX).to_le_bytes());
        starts.for_each(|word: u64| bytes.extend(word.to_le_bytes()));
        bytes.extend(&self.body);
        bytes
    }

    /// Reads a snapshot. `None` where none was stored.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (time_ms, bytes) = split_u64(bytes)?;
        let (sequence, bytes) = split_u64(bytes)?;
        let (received_at, bytes) = split_u64(bytes)?;
        let (count, mut body) = split_u64(bytes)?;
        let mut starts = Vec::new();
        for _ in 0..count {
            let (start, bytes) = split_u64(body)?;
            let (uptime_ms, bytes) = split_u64(bytes)?;
            let (due_ms, bytes) = split_u64(bytes)?;
            starts.push(KnownStart { start: u32::try_from(start).ok()?, uptime_ms, due_ms });
            body = bytes;
        }
        Some(Self {
            stamp: Stamp { time_ms, sequence },
            starts,
            received_at: Instant::from_nanos(received_at),
            body: body.to_vec(),
        })
    }

    /// Returns the pushes that were taken, as far as they are remembered.
    #[must_use]
    pub fn into_history(self) -> PushHistory {
        PushHistory { last: Some(self.stamp), starts: self.starts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_reads_back_and_a_short_one_is_absent() {
        let stamp = Stamp { time_ms: 3, sequence: 4 };
        let received_at = Instant::from_nanos(5);
        let starts = vec![KnownStart { start: 6, uptime_ms: 7, due_ms: 8 }; 2];
        let snapshot = SharedSnapshot { stamp, starts, received_at, body: b"snapshot".to_vec() };
        assert_eq!(SharedSnapshot::decode(&snapshot.encode()), Some(snapshot));
        assert_eq!(SharedSnapshot::decode(&[0; 31]), None);
        assert_eq!(SharedSnapshot::decode(&[1; 99]), None, "more processes than bytes");
    }
}
