//! All that a choice depends on besides the candidates.

use std::time::Duration;

use crate::{
    model::{InferenceRequest, Instant, Role},
    pool::{Candidate, EndpointState, Features, Learned, Sessions},
};

/// What plugins may look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PickContext<'a> {
    pub(crate) request: &'a InferenceRequest,
    pub(crate) now: Instant,
    /// How long numbers grow no older (see [`crate::Snapshot::quiet_for`]).
    pub(crate) quiet_for: Duration,
    pub(crate) learned: &'a Learned,
    pub(crate) sessions: &'a Sessions,
    /// The endpoint of an earlier stage, to which this one should be near.
    pub(crate) peer: Option<&'a EndpointState>,
}

impl PickContext<'_> {
    /// Seconds to the first token by the online predictor, once it has learnt enough.
    pub(crate) fn predicted_ttft(&self, candidate: &Candidate<'_>) -> Option<f64> {
        self.learned.ttft.predict(&self.features(candidate)?)
    }

    /// Seconds for each further token, once enough was learnt of streams.
    fn predicted_tpot(&self, candidate: &Candidate<'_>) -> Option<f64> {
        self.learned.tpot.predict(&self.features(candidate)?)
    }

    /// Returns what predictions go by; `None` for an endpoint whose load is not known.
    fn features(&self, candidate: &Candidate<'_>) -> Option<Features> {
        candidate.gauges.map(|_| Features::from_observation(&candidate.observation(self.request)))
    }

    /// What predictions leave of the objectives, which are 0 where the request has none: then all
    /// are below it, and the least is still the best (EPP: predicted-latency-producer). Where
    /// nothing was learnt of further tokens, or none are written, their headroom is 0.
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
    /// Whether both objectives are met.
    pub(crate) fn meets(self) -> bool {
        self.ttft >= 0.0 && self.tpot >= 0.0
    }
}
