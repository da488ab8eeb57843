//! To where the prompt is cached, until that is too slow (EPP: prefix-cache-affinity-filter).

use crate::{
    model::Rng,
    pool::{Candidate, Rates},
    schedule::PickContext,
};

/// Keeps the endpoints that hold most of the prompt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrefixAffinity {
    /// The share of the prompt from which on an endpoint holds it.
    pub threshold: f64,
    /// Share of the requests, 0 to 1, for which all are kept all the same, so that others come to
    /// hold the prompt too.
    pub exploration: f64,
    /// Seconds that the best of those that hold it may be slower than the best of the others before
    /// all are kept; 0 for no limit.
    pub penalty_max: f64,
    /// Source of the times of first tokens.
    pub source: TtftSource,
}

/// The source of the time to a first token (EPP: ttftSource).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TtftSource {
    /// Tokens in flight over this many a second (EPP: prefillThroughput, peakPrefillThroughput).
    Throughput(f64),
    /// The online predictor (EPP: latencyPredictor).
    Predictor,
}

impl Default for PrefixAffinity {
    fn default() -> Self {
        Self {
            threshold: 0.8,
            exploration: 0.0,
            penalty_max: 18.0,
            source: TtftSource::Throughput(Rates::DEFAULT),
        }
    }
}

impl PrefixAffinity {
    pub(super) fn apply(
        &self,
        context: &PickContext<'_>,
        candidates: &mut Vec<Candidate<'_>>,
        rng: &mut Rng,
    ) {
        if candidates.len() <= 1 || self.threshold <= 0.0 {
            return;
        }
        if self.exploration > 0.0 && rng.share() < self.exploration {
            return;
        }
        let is_sticky = |it: &Candidate<'_>| it.cached_share(context.request) >= self.threshold;
        let sticky = candidates.iter().filter(|it| is_sticky(it)).count();
        if sticky == 0 || sticky == candidates.len() {
            return;
        }
        if self.penalty_max > 0.0 && !self.is_near(context, candidates, is_sticky) {
            return;
        }
        candidates.retain(is_sticky);
    }

    /// True if the best that is sticky is not much slower than the best that is not. Without a time
    /// on either side it is not known to be.
    fn is_near(
        &self,
        context: &PickContext<'_>,
        candidates: &[Candidate<'_>],
        is_sticky: impl Fn(&Candidate<'_>) -> bool,
    ) -> bool {
        let best = |wanted: bool| {
            let of = candidates.iter().filter(|it| is_sticky(it) == wanted);
            of.filter_map(|it| self.seconds(context, it)).reduce(f64::min)
        };
        best(true).zip(best(false)).is_some_and(|(sticky, rest)| sticky - rest <= self.penalty_max)
    }

    fn seconds(&self, context: &PickContext<'_>, candidate: &Candidate<'_>) -> Option<f64> {
        match self.source {
            TtftSource::Throughput(rate) => Some(f64::from(candidate.token_load) / rate),
            TtftSource::Predictor => context.predicted_ttft(candidate),
        }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "what is compared is exact or was rounded")]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::{
        model::{Chain, InferenceRequest, Instant},
        pool::{Learned, Sessions, tests::member},
    };

    /// Returns which of a warm one with `tokens` in flight and two cold ones, one of them idle, are
    /// kept.
    fn kept(affinity: PrefixAffinity, matched: u32, tokens: u32) -> Vec<u32> {
        let member = member(&[]);
        let learned = Learned::default();
        let request = InferenceRequest {
            chain: Chain { blocks: 10, ..Chain::default() },
            ..InferenceRequest::default()
        };
        let sessions = Sessions::default();
        let now = Instant::default();
        let context = PickContext {
            request: &request,
            now,
            quiet_for: Duration::ZERO,
            learned: &learned,
            sessions: &sessions,
            peer: None,
            stopwatch: None,
        };
        let candidate = |matched, tokens| Candidate {
            tokens,
            token_load: tokens,
            ..Candidate::idle(&member, matched)
        };
        let mut candidates =
            vec![candidate(0, 9_000), candidate(matched, tokens), candidate(0, 1_000)];
        affinity.apply(&context, &mut candidates, &mut Rng::new(1));
        candidates.iter().map(|candidate| candidate.tokens).collect()
    }

    #[test]
    fn it_sticks_until_the_penalty_is_too_high() {
        let default = PrefixAffinity::default();
        assert_eq!(kept(default, 8, 100_000), [100_000]);
        // (287,705 - 1,000) / 15,928 are 18 s and a little.
        assert_eq!(kept(default, 8, 287_700), [287_700]);
        assert_eq!(kept(default, 8, 287_800), [9_000, 287_800, 1_000]);
        let always = PrefixAffinity { penalty_max: 0.0, ..default };
        assert_eq!(kept(always, 8, 900_000), [900_000]);
    }

    #[test]
    fn it_keeps_all_where_it_has_nothing_to_say() {
        let default = PrefixAffinity::default();
        assert_eq!(kept(default, 7, 5).len(), 3, "none holds enough");
        assert_eq!(kept(PrefixAffinity { threshold: 0.0, ..default }, 8, 5).len(), 3);
        assert_eq!(kept(PrefixAffinity { exploration: 1.0, ..default }, 8, 5).len(), 3);
        let predictor = PrefixAffinity { source: TtftSource::Predictor, ..default };
        assert_eq!(kept(predictor, 8, 5).len(), 3, "no prediction yet");
    }
}
