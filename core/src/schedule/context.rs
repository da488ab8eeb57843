//! All that a choice depends on besides the candidates.

use std::time::Duration;

use super::{ExtensionPoint, Stopwatch};
use crate::{
    model::{Expectation, InferenceRequest, Instant, Role},
    pool::{Candidate, EndpointState, Features, Learned, Sessions},
};

/// The context of a choice, as plugins may look at it (EPP: CycleState).
#[derive(Clone, Copy, Debug)]
pub(crate) struct PickContext<'a> {
    pub(crate) request: &'a InferenceRequest,
    pub(crate) now: Instant,
    /// Time for which numbers grow no older (see [`crate::Snapshot::quiet_for`]).
    pub(crate) quiet_for: Duration,
    pub(crate) learned: &'a Learned,
    pub(crate) sessions: &'a Sessions,
    /// The endpoint of an earlier stage, to which this one should be near.
    pub(crate) peer: Option<&'a EndpointState>,
    /// `None` unless plugins are timed.
    pub(crate) stopwatch: Option<&'a Stopwatch>,
}

impl PickContext<'_> {
    /// Runs a plugin, and notes its time where plugins are timed.
    pub(crate) fn run<T>(
        &self,
        point: ExtensionPoint,
        plugin: impl FnOnce() -> &'static str,
        run: impl FnOnce() -> T,
    ) -> T {
        match self.stopwatch {
            None => run(),
            Some(stopwatch) => stopwatch.time(point, plugin(), run),
        }
    }

    /// Returns what the request is expected to meet at an endpoint.
    pub(crate) fn expectation(&self, candidate: &Candidate<'_>) -> Expectation {
        let rates = &self.learned.rates;
        let pool = rates.of_pool();
        let pace = rates.of_slow(candidate.slot, pool).unwrap_or(pool).recip();
        // What should have been computed by now and is not will take its time still.
        let in_flight = f64::from(candidate.tokens) * pace;
        let is_overdue = candidate.busy_for <= 0.0;
        let backlog = if is_overdue { in_flight } else { in_flight.min(candidate.busy_for) };
        let uncached = candidate.uncached_tokens(self.request);
        let hit_tokens = self.request.tokens().saturating_sub(uncached);
        Expectation { backlog, ttft: backlog + f64::from(uncached) * pace, hit_tokens }
    }

    /// Returns the seconds to the first token by the online predictor, once it has learnt enough.
    pub(crate) fn predicted_ttft(&self, candidate: &Candidate<'_>) -> Option<f64> {
        self.learned.ttft.predict(&self.features(candidate)?)
    }

    /// Returns the seconds for each further token, once enough was learnt of streams.
    fn predicted_tpot(&self, candidate: &Candidate<'_>) -> Option<f64> {
        self.learned.tpot.predict(&self.features(candidate)?)
    }

    /// Returns the features that predictions go by; `None` for an endpoint of unknown load.
    fn features(&self, candidate: &Candidate<'_>) -> Option<Features> {
        candidate.gauges.map(|_| Features::from_observation(&candidate.observation(self.request)))
    }

    /// Returns what predictions leave of the objectives, which are 0 where the request has none:
    /// then all are below it, and the least is still the best (EPP: predicted-latency-producer).
    /// The headroom of further tokens is 0 where nothing was learnt of them, or none are written.
    pub(crate) fn headroom(&self, candidate: &Candidate<'_>) -> Option<SloHeadroom> {
        let left = |objective: Option<Duration>, predicted: f64| {
            objective.unwrap_or_default().as_secs_f64() - predicted
        };
        let ttft = left(self.request.slo.ttft, self.predicted_ttft(candidate)?);
        let tpot = self
            .predicted_tpot(candidate)
            .filter(|_| candidate.member.roles.contains(Role::Decode));
        Some(SloHeadroom { ttft, tpot: tpot.map_or(0.0, |tpot| left(self.request.slo.tpot, tpot)) })
    }
}

/// Seconds between a prediction and its objective; below 0 where it is missed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct SloHeadroom {
    /// Of the first token.
    pub(crate) ttft: f64,
    /// Of each further one.
    pub(crate) tpot: f64,
}

impl SloHeadroom {
    /// True if both objectives are met.
    pub(crate) fn meets(self) -> bool {
        self.ttft >= 0.0 && self.tpot >= 0.0
    }
}
