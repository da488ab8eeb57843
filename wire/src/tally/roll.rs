//! The roll of the workers that have counts in shared data, by their epochs: eight little-endian
//! bytes each, the earliest first. A worker that died stays on it, and its counts stay.

/// Workers on the roll of one pool. A machine has at most some hundred cores; the rest are workers
/// of before a change of the plugin.
pub const WORKERS_MAX: usize = 1_024;

/// Returns the bytes that [`decode`] reads.
#[must_use]
pub fn encode(epochs: &[u64]) -> Vec<u8> {
    epochs.iter().flat_map(|epoch| epoch.to_le_bytes()).collect()
}

/// Reads the epochs; a rest of less than eight bytes is passed over.
#[must_use]
pub fn decode(bytes: &[u8]) -> Vec<u64> {
    let (epochs, _) = bytes.as_chunks();
    epochs.iter().map(|epoch| u64::from_le_bytes(*epoch)).collect()
}
