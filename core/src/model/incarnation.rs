//! The lives of the engine at one address.

use std::time::Duration;

/// The present life of the engine at an endpoint's address: since its process began, or lost its cache
/// as a whole, or another pod took the address over.
///
/// A state and no event, so that a worker that reads a snapshot late, or none for a while, misses nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Incarnation {
    /// Number of the life, greater than those of all earlier lives at this address, also over restarts of
    /// the scraper: milliseconds of the Unix time at which it began. Zero where none is known to have begun.
    pub number: u64,
    /// Time from its beginning to the sending of the snapshot. A duration and no point in time, so that
    /// the clocks of scraper and gateway need not agree.
    pub age: Duration,
}
