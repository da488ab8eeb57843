//! By limits on load, and by objectives.

use crate::{
    model::Rng,
    pool::Candidate,
    schedule::{PickContext, SloHeadroom},
};

/// Keeps the endpoints that are within every limit (EPP: utilization-filter).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UtilizationLimits {
    /// Limited metrics, each with the highest value that is kept.
    pub limits: Vec<(LoadMetric, f64)>,
    /// True if all are kept where none is within them.
    pub fallback_on_empty: bool,
}

/// A metric that can be limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadMetric {
    /// Requests of all known gateways in flight there.
    ActiveRequests,
    /// Requests in its batch.
    RunningRequests,
    /// Requests that wait there.
    WaitingQueue,
    /// The share of its KV cache that is in use.
    KvCacheUtilization,
}

impl LoadMetric {
    /// By the EPP's names.
    pub const NAMED: [(&str, Self); 4] = [
        ("active-requests", Self::ActiveRequests),
        ("running-requests", Self::RunningRequests),
        ("waiting-queue", Self::WaitingQueue),
        ("kv-cache-utilization", Self::KvCacheUtilization),
    ];

    /// Returns the metric's value; `None` where the endpoint's metrics are stale or were never
    /// read.
    fn measure(self, candidate: &Candidate<'_>) -> Option<f64> {
        let gauges = candidate.gauges;
        match self {
            Self::ActiveRequests => Some(f64::from(candidate.requests)),
            Self::RunningRequests => gauges.map(|gauges| f64::from(gauges.running)),
            Self::WaitingQueue => gauges.map(|gauges| f64::from(gauges.waiting)),
            Self::KvCacheUtilization => gauges.map(|gauges| f64::from(gauges.kv_usage)),
        }
    }
}

impl UtilizationLimits {
    pub(super) fn apply(&self, candidates: &mut Vec<Candidate<'_>>) {
        let is_within = |it: &Candidate<'_>| {
            self.limits
                .iter()
                .all(|(metric, max)| metric.measure(it).is_some_and(|value| value <= *max))
        };
        if !self.fallback_on_empty || candidates.iter().any(is_within) {
            candidates.retain(is_within);
        }
    }
}

/// Keeps the endpoints that are predicted to meet the objectives (EPP: slo-headroom-tier-filter).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeadroomTier {
    /// Share of the requests, 0 to 1, for which the others are kept instead, so that they are seen
    /// to recover.
    pub exploration: f64,
}

impl Default for HeadroomTier {
    /// Returns the default of EPP: epsilonExploreNeg.
    fn default() -> Self {
        Self { exploration: 0.01 }
    }
}

impl HeadroomTier {
    pub(super) fn apply(
        self,
        context: &PickContext<'_>,
        candidates: &mut Vec<Candidate<'_>>,
        rng: &mut Rng,
    ) {
        if candidates.iter().all(|candidate| context.headroom(candidate).is_none()) {
            return;
        }
        let meets = |it: &Candidate<'_>| context.headroom(it).is_some_and(SloHeadroom::meets);
        let meeting = candidates.iter().filter(|candidate| meets(candidate)).count();
        if meeting == 0 || meeting == candidates.len() {
            return;
        }
        let wanted = rng.share() >= self.exploration;
        candidates.retain(|candidate| meets(candidate) == wanted);
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "what is compared is exact or was rounded")]
mod tests {
    use super::*;
    use crate::pool::{EngineLoad, tests::member};

    #[test]
    fn every_limit_holds() {
        let member = member(&[]);
        let candidate = |requests, waiting| Candidate {
            gauges: Some(EngineLoad { waiting, running: 0, kv_usage: 0.5 }),
            requests,
            ..Candidate::idle(&member, 0)
        };
        let blind = Candidate { gauges: None, ..candidate(0, 0) };
        let kept = |limits: &[(LoadMetric, f64)], fallback_on_empty| {
            let mut candidates = vec![candidate(1, 4), candidate(9, 0), blind];
            UtilizationLimits { limits: limits.to_vec(), fallback_on_empty }.apply(&mut candidates);
            candidates.len()
        };
        let active = LoadMetric::ActiveRequests;
        let queue = LoadMetric::WaitingQueue;
        assert_eq!(kept(&[(active, 5.0)], false), 2);
        assert_eq!(kept(&[(queue, 4.0)], false), 2);
        assert_eq!(kept(&[(active, 5.0), (queue, 3.0)], false), 0);
        assert_eq!(kept(&[(active, 5.0), (queue, 3.0)], true), 3);
        assert_eq!(kept(&[(LoadMetric::KvCacheUtilization, 0.5)], false), 2);
        assert_eq!(kept(&[], false), 3);
    }
}
