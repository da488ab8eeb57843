//! The lease of the worker that fetches snapshots for its gateway, in shared data: 16 bytes,
//! little-endian.

use picker_core::{Instant, ledger::WorkerId, pull::PullLease};

/// Version of the value, and so of its key.
pub(crate) const VERSION: u8 = 1;

/// Returns the bytes that [`decode`] reads.
#[must_use]
pub fn encode(lease: PullLease) -> Vec<u8> {
    [lease.holder.0, lease.until.as_nanos()].into_iter().flat_map(u64::to_le_bytes).collect()
}

/// Reads a lease; one without a holder where there is none.
#[must_use]
pub fn decode(bytes: &[u8]) -> PullLease {
    let ([holder, until], []) = bytes.as_chunks::<8>() else { return PullLease::default() };
    PullLease {
        holder: WorkerId(u64::from_le_bytes(*holder)),
        until: Instant::from_nanos(u64::from_le_bytes(*until)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_reads_back_and_anything_else_is_nobodys() {
        let lease = PullLease { holder: WorkerId(3), until: Instant::from_nanos(u64::MAX) };
        assert_eq!(decode(&encode(lease)), lease);
        assert_eq!(decode(&[1; 15]), PullLease::default());
        assert_eq!(decode(&[]), PullLease::default());
    }
}
