//! The faults of the picker's own that are counted.

use serde::{Deserialize, Serialize};

/// Fault of the picker's own, of which no request need have noticed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum OwnError {
    /// A message to another worker was lost.
    LostMessage,
    /// A change of the ledger was given up, as other workers were faster each time.
    GaveUp,
    /// Counts in the ledger were wrong, and mended.
    Recounted,
    /// A worker gave no sign of life, and its requests were taken off the ledger.
    WorkerDied,
    /// The snapshot in shared data could not be read.
    UnreadableSnapshot,
}

impl OwnError {
    /// Returns the word in the metric.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::LostMessage => "lost-message",
            Self::GaveUp => "gave-up",
            Self::Recounted => "recounted",
            Self::WorkerDied => "worker-died",
            Self::UnreadableSnapshot => "unreadable-snapshot",
        }
    }
}
