//! All that a choice depends on besides the candidates.

use crate::{
    Ask, Instant,
    candidate::Candidate,
    learned::{Features, Learned},
    pool::Member,
    sessions::Sessions,
};

/// What plugins may look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) ask: &'a Ask,
    pub(crate) now: Instant,
    pub(crate) learned: &'a Learned,
    pub(crate) sessions: &'a Sessions,
    /// The endpoint of an earlier stage, to which this one should be near.
    pub(crate) peer: Option<&'a Member>,
}

impl Scene<'_> {
    /// Seconds to the first token by the online predictor, once it has learnt enough.
    pub(crate) fn predicted_ttft(&self, candidate: &Candidate<'_>) -> Option<f64> {
        self.learned.ttft.predict(&Features::of(candidate, self.ask)?)
    }

    /// Seconds between that and the objective, which is 0 where the request has none: then all are
    /// below it, and the least is still the best (EPP: predicted-latency-producer).
    pub(crate) fn headroom(&self, candidate: &Candidate<'_>) -> Option<f64> {
        let objective = self.ask.slo.ttft.unwrap_or_default().as_secs_f64();
        self.predicted_ttft(candidate).map(|seconds| objective - seconds)
    }
}
