//! The more of its KV cache is free, the better (EPP: kv-cache-utilization-scorer).

use super::plugin::{ScorerPlugin, each};
use crate::{
    model::Score,
    pool::Candidate,
    schedule::{Needs, PickContext},
};

/// The scorer by free KV cache, which has no parameters.
#[derive(Clone, Copy, Debug)]
pub(super) struct KvCacheUtilization;

impl ScorerPlugin for KvCacheUtilization {
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
            candidate.gauges.map_or(Score::ZERO, |load| score(load.kv_usage))
        });
    }
}

/// Scores `1 - usage`.
fn score(usage: f32) -> Score {
    Score::clamped(1.0 - f64::from(usage))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_what_is_left() {
        assert_eq!(score(0.0), Score::ONE);
        assert_eq!(score(0.75), Score::clamped(0.25));
        assert_eq!(score(1.25), Score::ZERO);
        assert_eq!(score(f32::NAN), Score::ZERO);
    }
}
