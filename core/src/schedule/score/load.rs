//! The less an endpoint has to do, the better, by a fixed measure or by what all known gateways sent there.

use super::plugin::{ScorerPlugin, each};
use crate::{
    model::Score,
    pool::Candidate,
    schedule::{Needs, PickContext},
};

/// By the queue, on a fixed scale (EPP: load-aware-scorer).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadAware {
    /// The queue that scores 0.
    pub threshold: u32,
}

impl Default for LoadAware {
    /// Returns the default of EPP: threshold.
    fn default() -> Self {
        Self { threshold: 128 }
    }
}

impl ScorerPlugin for LoadAware {
    fn needs(&self) -> Needs<'_> {
        Needs::NOTHING
    }

    fn score_all(
        &self,
        _: &PickContext<'_>,
        candidates: &[Candidate<'_>],
        scores: &mut Vec<Score>,
    ) {
        each(candidates, scores, |candidate| {
            candidate.waiting().map_or(Score::ZERO, |waiting| self.score(waiting))
        });
    }
}

impl LoadAware {
    /// Scores 0.5 without a queue, `0.5 * (1 - min(waiting, threshold) / threshold)` with one.
    fn score(self, waiting: u32) -> Score {
        let threshold = self.threshold.max(1);
        let full = f64::from(waiting.min(threshold)) / f64::from(threshold);
        Score::clamped(0.5 * (1.0 - full))
    }
}

/// By the requests in flight (EPP: active-request-scorer).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActiveRequest {
    /// Up to that many an endpoint counts as idle.
    pub idle_threshold: u32,
    /// Best score of an endpoint that is not idle.
    pub max_busy_score: f64,
}

impl Default for ActiveRequest {
    /// Returns the defaults of EPP: idleThreshold, maxBusyScore.
    fn default() -> Self {
        Self { idle_threshold: 0, max_busy_score: 1.0 }
    }
}

impl ScorerPlugin for ActiveRequest {
    fn needs(&self) -> Needs<'_> {
        Needs::NOTHING
    }

    fn score_all(
        &self,
        _: &PickContext<'_>,
        candidates: &[Candidate<'_>],
        scores: &mut Vec<Score>,
    ) {
        let most = candidates.iter().map(|candidate| candidate.requests).max().unwrap_or(0);
        each(candidates, scores, |candidate| self.score(candidate.requests, most));
    }
}

impl ActiveRequest {
    /// Scores 1 for an idle endpoint, else `(most - requests) / most * max_busy_score`.
    fn score(self, requests: u32, most: u32) -> Score {
        if requests <= self.idle_threshold || most == 0 {
            return Score::ONE;
        }
        let free = f64::from(most.saturating_sub(requests)) / f64::from(most);
        Score::clamped(free * self.max_busy_score)
    }
}

/// By the prompt tokens that it has to compute, this request's among them (EPP: token-load-scorer).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenLoad {
    /// The tokens that score 0.
    pub threshold: u32,
}

impl Default for TokenLoad {
    /// Returns the default of EPP: queueThresholdTokens.
    fn default() -> Self {
        Self { threshold: 4_194_304 }
    }
}

impl ScorerPlugin for TokenLoad {
    fn needs(&self) -> Needs<'_> {
        Needs::TOKENS
    }

    fn score_all(
        &self,
        context: &PickContext<'_>,
        candidates: &[Candidate<'_>],
        scores: &mut Vec<Score>,
    ) {
        each(candidates, scores, |candidate| {
            self.score(candidate.token_load, candidate.uncached_tokens(context.request))
        });
    }
}

impl TokenLoad {
    /// Scores `1 - min(tokens, threshold) / threshold`.
    fn score(self, in_flight: u32, own_uncached: u32) -> Score {
        let threshold = self.threshold.max(1);
        let tokens = in_flight.saturating_add(own_uncached).min(threshold);
        Score::clamped(1.0 - f64::from(tokens) / f64::from(threshold))
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "what is compared is exact")]
mod tests {
    use super::*;

    #[test]
    fn a_queue_on_a_fixed_scale() {
        let score = |waiting| LoadAware::default().score(waiting).get();
        assert_eq!([0, 32, 64, 128, 500].map(score), [0.5, 0.375, 0.25, 0.0, 0.0]);
    }

    #[test]
    fn the_idle_and_the_busy() {
        let idle = ActiveRequest { idle_threshold: 2, max_busy_score: 0.5 };
        assert_eq!(
            [0, 2, 4, 8].map(|requests| idle.score(requests, 8).get()),
            [1.0, 1.0, 0.25, 0.0]
        );
        let default = ActiveRequest::default();
        assert_eq!([0, 2, 8].map(|requests| default.score(requests, 8).get()), [1.0, 0.75, 0.0]);
        assert_eq!(default.score(0, 0), Score::ONE);
    }

    #[test]
    fn tokens_in_flight_and_own() {
        let load = TokenLoad { threshold: 1_000 };
        assert_eq!(load.score(200, 50), Score::clamped(0.75));
        assert_eq!(load.score(u32::MAX, u32::MAX), Score::ZERO);
        assert_eq!(load.score(0, 0), Score::ONE);
    }
}
