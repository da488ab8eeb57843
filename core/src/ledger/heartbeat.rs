//! The part of the ledger that one worker has counted, so that it can be taken back when the worker
//! dies.

use std::time::Duration;

use super::Accounts;
use crate::model::Instant;

/// A worker's part of the ledger, and a sign of life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heartbeat {
    /// Time of the last write.
    pub alive_at: Instant,
    /// Number of requests that the worker holds.
    pub waiting: u32,
    /// The requests that the worker sent.
    pub accounts: Accounts,
    /// Term of the arbiter that the worker knows.
    pub epoch: u64,
    /// Number of that arbiter's grants that the worker has used or given back.
    pub grants_taken: u64,
}

impl Heartbeat {
    /// Time of five missed signs of life. Taking back the counts of a worker that was merely stuck would
    /// let others send too much, so this errs on the long side; meanwhile the counts only hold
    /// room back.
    pub const DEAD_AFTER: Duration = Duration::from_secs(5);

    /// True if the worker has given no sign of life for too long.
    #[must_use]
    pub fn is_dead(&self, now: Instant) -> bool {
        now.saturating_since(self.alive_at) >= Self::DEAD_AFTER
    }
}
