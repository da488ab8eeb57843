//! The requests of one worker that may be evicted while they run.

use crate::model::{Instant, Priority, QueueId};

/// The requests in flight of one worker that may be evicted, by the one that goes first: it has the lowest
/// priority, and of those it was sent last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sheddable {
    /// Number of those requests, at least 1.
    pub requests: u32,
    /// Priority of the one that goes first, below 0.
    pub priority: Priority,
    /// Time at which that one was sent.
    pub sent_at: Instant,
    /// The queue on which the worker is told to evict it.
    pub queue: QueueId,
}
