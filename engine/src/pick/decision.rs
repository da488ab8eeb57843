//! What came of a request.

use std::{fmt, net::SocketAddr, time::Duration};

use crate::score::{Score, Scorer};

/// Where a request goes, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The chosen endpoint, then those to fall back to, best first. Never empty, no address twice.
    pub ranked: Vec<SocketAddr>,
    /// What each scorer gave the chosen one, in the profile's order.
    pub scores: Vec<(Scorer, Score)>,
    /// Their weighted sum.
    pub total: f64,
    /// How long ago the chosen one's metrics were read, if they ever were.
    pub age: Option<Duration>,
    /// Blocks of the prompt that the chosen one is believed to have cached.
    pub matched: u32,
    /// Blocks in the prompt.
    pub blocks: u32,
}

/// Why a request goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPick {
    /// No snapshot of the pool has come yet, so nothing is known of it.
    NoSnapshot,
    /// The pool is empty: scaled to zero, or its selector matches no pod.
    NoEndpoints,
}

impl fmt::Display for NoPick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSnapshot => "no snapshot of the pool has been received yet",
            Self::NoEndpoints => "the pool has no endpoints",
        })
    }
}
