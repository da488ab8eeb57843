//! The condition of a pool, by which requests go there or to a fallback.

use super::Scheduler;
use crate::{
    ledger::Ledger,
    model::{Instant, PoolCondition},
    pool::Pool,
};

impl Scheduler {
    /// Returns the condition of the pool, by this ledger.
    #[must_use]
    pub fn condition(&self, now: Instant, ledger: &Ledger) -> PoolCondition {
        let members = self.pool.as_ref().map(Pool::members).unwrap_or_default();
        if members.is_empty() {
            return PoolCondition::Empty;
        }
        if self.outliers.all_fail(now, members, &ledger.accounts) {
            return PoolCondition::Failing;
        }
        let loads = self.choosable_loads(now, ledger);
        PoolCondition::Serving(self.room_beside_others(now, ledger, &loads).saturation())
    }
}
