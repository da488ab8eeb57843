//! Totals of what tenants were charged at one gateway.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use super::{TENANTS_MAX, TenantTokens};
use crate::{flow::FlowKey, model::Instant};

/// Tenants of which a total is kept: four times as many as are told of, so that one which is among those again has
/// not begun anew. A receiver takes the rise of a total for use.
pub const TENANTS_KEPT_MAX: usize = 4 * TENANTS_MAX;

/// Time for which a total is kept that does not change: as long as a flow without requests is remembered.
const KEPT_FOR: Duration = Duration::from_mins(5);

/// What tenants were charged at one gateway, whichever of its workers charged them. At most [`TENANTS_KEPT_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantTotals {
    by_flow: BTreeMap<FlowKey, TenantTotal>,
}

/// What a tenant was charged in one band.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TenantTotal {
    /// Tokens, in the unit of [`TenantTokens::tokens`].
    pub tokens: u64,
    /// Time of the last charge that is known.
    pub charged_at: Instant,
}

impl TenantTotals {
    /// Adds what tenants were charged since the last time: less than nothing where charges were taken back.
    pub fn add(&mut self, now: Instant, charges: &[(FlowKey, i64)]) {
        for (flow, tokens) in charges {
            let before = self.by_flow.get(flow).map_or(0, |total| total.tokens);
            self.set(now, flow, before.saturating_add_signed(*tokens));
        }
        self.trim(now);
    }

    /// Takes in totals that a gateway tells. Those of which it says nothing stay.
    pub fn note(&mut self, now: Instant, totals: &[TenantTokens]) {
        for TenantTokens { flow, tokens } in totals {
            self.set(now, flow, *tokens);
        }
        self.trim(now);
    }

    /// Returns the highest totals, the highest first. At most [`TENANTS_MAX`].
    #[must_use]
    pub fn highest(&self) -> Vec<TenantTokens> {
        let mut highest: Vec<_> = self.iter().collect();
        highest.sort_by_key(|(_, total)| Reverse(total.tokens));
        let highest = highest.into_iter().take(TENANTS_MAX);
        highest
            .map(|(flow, total)| TenantTokens { flow: flow.clone(), tokens: total.tokens })
            .collect()
    }

    /// Iterates over all totals.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&FlowKey, &TenantTotal)> {
        self.by_flow.iter()
    }

    fn set(&mut self, now: Instant, flow: &FlowKey, tokens: u64) {
        let total = TenantTotal { tokens, charged_at: now };
        let _ = self.by_flow.insert(flow.clone(), total);
    }

    /// Forgets what has not changed for a while, and the lowest where there are too many.
    pub(super) fn trim(&mut self, now: Instant) {
        self.by_flow.retain(|_, total| now.saturating_since(total.charged_at) < KEPT_FOR);
        while self.by_flow.len() > TENANTS_KEPT_MAX {
            let lowest = self.by_flow.iter().min_by_key(|(_, total)| total.tokens);
            let Some(lowest) = lowest.map(|(flow, _)| flow.clone()) else { break };
            let _ = self.by_flow.remove(&lowest);
        }
    }
}

impl FromIterator<(FlowKey, TenantTotal)> for TenantTotals {
    fn from_iter<T: IntoIterator<Item = (FlowKey, TenantTotal)>>(totals: T) -> Self {
        Self { by_flow: totals.into_iter().take(TENANTS_KEPT_MAX).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{flow::FairnessId, model::Priority};

    fn flow(id: &str) -> FlowKey {
        FlowKey { id: FairnessId::new(id), priority: Priority(0) }
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn told(totals: &TenantTotals, id: &str) -> Option<u64> {
        totals.highest().into_iter().find(|it| it.flow == flow(id)).map(|it| it.tokens)
    }

    #[test]
    fn charges_of_several_workers_add_up_and_are_taken_back() {
        let mut totals = TenantTotals::default();
        totals.add(at(0), &[(flow("a"), 1_000_000)]);
        totals.add(at(1), &[(flow("a"), 20_000), (flow("b"), 5)]);
        totals.add(at(2), &[(flow("a"), -20_000), (flow("b"), -9)]);
        assert_eq!([told(&totals, "a"), told(&totals, "b")], [Some(1_000_000), Some(0)]);
    }

    #[test]
    fn a_tenant_that_is_not_told_of_for_a_while_has_its_total() {
        let mut totals = TenantTotals::default();
        let tenant = |id: &str, tokens| TenantTokens { flow: flow(id), tokens };
        totals.note(at(0), &[tenant("a", 700)]);
        totals.note(at(299), &[tenant("b", 1)]);
        assert_eq!(told(&totals, "a"), Some(700));
        totals.note(at(300), &[tenant("b", 1)]);
        assert_eq!(told(&totals, "a"), None);
    }

    #[test]
    fn of_too_many_the_highest_are_kept() {
        let mut totals = TenantTotals::default();
        let many: Vec<_> = (0..300).map(|n| (flow(&n.to_string()), i64::from(n))).collect();
        totals.add(at(0), &many);
        assert_eq!(totals.iter().len(), TENANTS_KEPT_MAX);
        assert_eq!(totals.highest().len(), TENANTS_MAX);
        assert_eq!([told(&totals, "299"), told(&totals, "200")], [Some(299), None]);
    }
}
