//! By a custom metric (EPP: endpoint-attribute-scorer).

use super::plugin::ScorerPlugin;
use crate::{
    model::Score,
    pool::Candidate,
    schedule::{Needs, PickContext},
};

/// A metric that a configuration names, and how it becomes a score.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attribute {
    /// The key that the scraper has it under (EPP: customMetrics, attributeKey).
    pub key: String,
    /// True if less is better.
    pub lower_is_better: bool,
    /// Values that score 0 and 1 where more is better; by default the least and the most of the
    /// candidates.
    pub range: Option<(f64, f64)>,
}

impl ScorerPlugin for Attribute {
    fn needs(&self) -> Needs<'_> {
        Needs::NOTHING
    }

    fn score_all(
        &self,
        _: &PickContext<'_>,
        candidates: &[Candidate<'_>],
        scores: &mut Vec<Score>,
    ) {
        self.score(candidates, scores);
    }
}

impl Attribute {
    /// Scores linearly within the range, clamped to it. An endpoint without the metric scores 0;
    /// where all that have it are equal each scores 1.
    fn score(&self, candidates: &[Candidate<'_>], scores: &mut Vec<Score>) {
        let values = candidates.iter().map(|candidate| candidate.attribute(&self.key));
        let (least, most) = self.range.unwrap_or_else(|| {
            values
                .clone()
                .flatten()
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), it| {
                    (least.min(it), most.max(it))
                })
        });
        let score = |value: f64| {
            if most <= least {
                return Score::ONE;
            }
            let share = Score::clamped((value - least) / (most - least)).get();
            Score::clamped(if self.lower_is_better { 1.0 - share } else { share })
        };
        scores.extend(values.map(|value| value.map_or(Score::ZERO, score)));
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "what is compared is exact")]
mod tests {
    use super::*;
    use crate::pool::{EngineLoad, tests::measured};

    #[test]
    fn as_in_the_epp() {
        let gauges = Some(EngineLoad { waiting: 0, running: 0, kv_usage: 0.0 });
        let members = [Some(2.0), Some(6.0), None, Some(4.0)].map(|it| measured("load", it));
        let candidates =
            members.each_ref().map(|it| Candidate { gauges, ..Candidate::idle(it, 0) });
        let of = |lower_is_better, range, candidates: &[Candidate<'_>]| {
            let attribute = Attribute { key: "load".to_owned(), lower_is_better, range };
            let mut scores = Vec::new();
            attribute.score(candidates, &mut scores);
            scores.into_iter().map(Score::get).collect::<Vec<f64>>()
        };
        assert_eq!(of(true, None, &candidates), [1.0, 0.0, 0.0, 0.5]);
        assert_eq!(of(false, None, &candidates), [0.0, 1.0, 0.0, 0.5]);
        assert_eq!(of(false, Some((0.0, 4.0)), &candidates), [0.5, 1.0, 0.0, 1.0]);
        assert_eq!(of(true, Some((0.0, 4.0)), &candidates), [0.5, 0.0, 0.0, 0.0]);
        assert_eq!(of(true, None, &candidates[..1]), [1.0], "all are equal");
        let stale = candidates.map(|it| Candidate { gauges: None, ..it });
        assert_eq!(of(true, None, &stale), [0.0; 4], "none is known any more");
    }
}
