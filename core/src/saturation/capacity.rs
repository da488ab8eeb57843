//! The room that a pool has for more requests.

use super::Budget;
use crate::ledger::{Ledger, PhaseKind};

/// The room that a pool has for more requests.
#[derive(Clone, Debug, PartialEq)]
pub enum Capacity {
    /// No snapshot has come: the pool may or may not exist.
    Unknown,
    /// The pool has no endpoints.
    Empty,
    /// The pool has endpoints with this budget left.
    Serving(Budget),
}

impl Capacity {
    /// Returns the capacity that is left once the granted requests are on their way.
    pub(crate) fn beyond_grants(self, ledger: &Ledger) -> Self {
        let Self::Serving(mut budget) = self else { return self };
        (0..ledger.granted).for_each(|_| budget.take(0));
        Self::Serving(budget)
    }

    /// Returns the phase of a pool with this capacity, by which a request may wait for it.
    pub(crate) fn phase_kind(&self) -> PhaseKind {
        match self {
            Self::Unknown | Self::Empty => PhaseKind::Empty,
            Self::Serving(_) => PhaseKind::Serving,
        }
    }
}
