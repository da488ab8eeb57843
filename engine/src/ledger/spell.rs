//! How long the pool has been as it is.

use crate::{Instant, flow::Regime};

/// A time in which the pool had endpoints throughout, or none. It is in the ledger so that the
/// budget of who waits does not begin anew with each arbiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spell {
    /// Which of the two.
    pub regime: Regime,
    /// When an arbiter first saw it.
    pub since: Instant,
}

impl Default for Spell {
    /// A pool that nobody has heard of has no endpoints.
    fn default() -> Self {
        Self { regime: Regime::Empty, since: Instant::default() }
    }
}

impl Spell {
    /// Goes on, or ends with another one that begins now.
    pub fn see(&mut self, regime: Regime, now: Instant) {
        if self.regime != regime {
            *self = Self { regime, since: now };
        }
    }
}
