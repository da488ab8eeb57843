//! The registry of a pool's workers in shared data: their ids, eight little-endian bytes each.

use picker_core::ledger::WorkerId;

/// Returns the bytes that [`decode`] reads.
#[must_use]
pub fn encode(workers: &[WorkerId]) -> Vec<u8> {
    workers.iter().flat_map(|worker| worker.0.to_le_bytes()).collect()
}

/// Reads the ids; a rest of less than eight bytes is passed over.
#[must_use]
pub fn decode(bytes: &[u8]) -> Vec<WorkerId> {
    let (ids, _) = bytes.as_chunks();
    ids.iter().map(|id| WorkerId(u64::from_le_bytes(*id))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_and_a_rest_is_ignored() {
        let workers = [WorkerId(1), WorkerId(u64::MAX)];
        let mut bytes = encode(&workers);
        assert_eq!(decode(&bytes), workers);
        bytes.push(7);
        assert_eq!(decode(&bytes), workers);
        assert_eq!(decode(&[]), []);
    }
}
