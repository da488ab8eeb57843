//! An endpoint as a scorer sees it.

use std::time::Duration;

use crate::prefix::Slot;

/// An endpoint that a request may go to, at the moment of choice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Its number in the pool.
    pub slot: Slot,
    /// How busy it is.
    pub load: Load,
    /// Blocks of the prompt, from its head, that its cache is believed to hold.
    pub matched: u32,
}

/// What is known of an endpoint's load.
///
/// A scorer of load gives [`super::Score::ZERO`] to all but `Fresh`: an endpoint that we can't see
/// is not preferred, and when we see none of them the other scorers decide.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// Read recently enough to go by.
    Fresh(Gauges),
    /// Read this long ago, which is too long.
    Stale(Duration),
    /// Never read.
    Unknown,
}

impl Load {
    /// The gauges, if they can be relied on.
    #[must_use]
    pub const fn fresh(self) -> Option<Gauges> {
        match self {
            Self::Fresh(gauges) => Some(gauges),
            Self::Stale(_) | Self::Unknown => None,
        }
    }
}

/// The part of [`crate::Metrics`] that scorers read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gauges {
    /// Requests that wait for a slot in the batch.
    pub waiting: u32,
    /// Requests in the batch.
    pub running: u32,
    /// KV-cache blocks that live requests hold, as a share of all.
    pub kv_usage: f32,
}
