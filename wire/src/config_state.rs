//! The state of a plugin's newest configuration, in shared data. Two little-endian words; any other
//! value reads as if there were none.

use picker_core::Instant;

use crate::fixed::split_u64;

/// State of the newest configuration of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigState {
    /// Applied.
    Good,
    /// Refused, and another one is in use, or none.
    Faulty {
        /// Digest of the refused one, not 0.
        digest: u64,
        /// Time at which its faults were logged.
        told_at: Instant,
    },
}

impl ConfigState {
    /// Returns the bytes that [`ConfigState::decode`] reads.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let (digest, told_at) = match self {
            Self::Good => (0, 0),
            Self::Faulty { digest, told_at } => (digest.max(1), told_at.as_nanos()),
        };
        [digest.to_le_bytes(), told_at.to_le_bytes()].concat()
    }

    /// Reads a state. `None` where none was written.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (digest, rest) = split_u64(bytes)?;
        let (told_at, []) = split_u64(rest)? else { return None };
        let told_at = Instant::from_nanos(told_at);
        Some(if digest == 0 { Self::Good } else { Self::Faulty { digest, told_at } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_reads_back_and_anything_else_is_none() {
        let faulty = ConfigState::Faulty { digest: 7, told_at: Instant::from_nanos(9) };
        for state in [ConfigState::Good, faulty] {
            assert_eq!(ConfigState::decode(&state.encode()), Some(state));
        }
        assert_eq!(ConfigState::decode(&[]), None);
        assert_eq!(ConfigState::decode(&[1; 17]), None);
    }
}
