//! The time for which the pool has had endpoints, or none.

use crate::model::Instant;

/// The two states of a pool by which a request may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhaseKind {
    /// The pool has endpoints: a request waits for room, for its own time to live.
    Serving,
    /// The pool has no endpoint: a request waits for it to come back, for `noEndpointRequestTTL`.
    Empty,
}

/// A time in which the pool had endpoints throughout, or none. It is in the ledger so that the
/// budget of waiting requests does not begin anew with each arbiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolPhase {
    /// The state of the pool in that time.
    pub kind: PhaseKind,
    /// Time at which an arbiter first saw the pool in that state.
    pub since: Instant,
}

impl Default for PoolPhase {
    /// Returns the phase of a pool of which nothing is known, which has no endpoints.
    fn default() -> Self {
        Self { kind: PhaseKind::Empty, since: Instant::default() }
    }
}

impl PoolPhase {
    /// Goes on if the pool is in the same state, and else begins another phase now.
    pub fn see(&mut self, kind: PhaseKind, now: Instant) {
        if self.kind != kind {
            *self = Self { kind, since: now };
        }
    }
}
