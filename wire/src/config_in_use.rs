//! The configuration of a plugin that Envoy goes by, in shared data. Four little-endian words; any other value
//! reads as if there were none.

use picker_core::Instant;

use crate::fixed;

/// Configuration of a plugin that Envoy goes by, as its instances have found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConfigInUse {
    /// Digest of its text.
    pub digest: u64,
    /// Number of the newest connection that an instance was seen to serve while there were several. Envoy numbers
    /// connections upwards.
    pub connection: u64,
    /// Time at which Envoy last handed out a configuration that was not in use.
    pub configured_at: Instant,
    /// Time at which an instance with another configuration last said that it is there; zero before the first.
    pub contested_at: Instant,
}

impl ConfigInUse {
    /// Returns the bytes that [`ConfigInUse::decode`] reads.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let times = [self.configured_at, self.contested_at].map(Instant::as_nanos);
        let words = [self.digest, self.connection].into_iter().chain(times);
        words.flat_map(u64::to_le_bytes).collect()
    }

    /// Reads a value. `None` where none was written.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let ([digest, connection, configured_at, contested_at], []) = fixed::decode(bytes)? else {
            return None;
        };
        let [configured_at, contested_at] = [configured_at, contested_at].map(Instant::from_nanos);
        Some(Self { digest, connection, configured_at, contested_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_reads_back_and_anything_else_is_none() {
        let [configured_at, contested_at] = [8, 9].map(Instant::from_nanos);
        let in_use = ConfigInUse { digest: 6, connection: 7, configured_at, contested_at };
        assert_eq!(ConfigInUse::decode(&in_use.encode()), Some(in_use));
        for bytes in [&[][..], &[1; 31], &[1; 40]] {
            assert_eq!(ConfigInUse::decode(bytes), None);
        }
    }
}
