//! How long the pool has been as it is.

use crate::model::Instant;

/// Whether the pool has endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhaseKind {
    /// It has: a request waits for room, for its own time to live.
    Serving,
    /// It has none: a request waits for the pool to come back, for `noEndpointRequestTTL`.
    Empty,
}

/// A time in which the pool had endpoints throughout, or none. It is in the ledger so that the
/// budget of who waits does not begin anew with each arbiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolPhase {
    /// Which of the two.
    pub kind: PhaseKind,
    /// When an arbiter first saw it.
    pub since: Instant,
}

impl Default for PoolPhase {
    /// A pool that nobody has heard of has no endpoints.
    fn default() -> Self {
        Self { kind: PhaseKind::Empty, since: Instant::default() }
    }
}

impl PoolPhase {
    /// Goes on, or ends with another one that begins now.
    pub fn see(&mut self, kind: PhaseKind, now: Instant) {
        if self.kind != kind {
            *self = Self { kind, since: now };
        }
    }
}
