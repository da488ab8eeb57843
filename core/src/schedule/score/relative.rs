//! The fewer requests wait at an endpoint, or run there, the better, relative to the others
//! (EPP: queue-scorer, running-requests-size-scorer).

use super::plugin::{ScorerPlugin, each};
use crate::{
    model::Score,
    pool::Candidate,
    schedule::{Needs, PickContext},
};

/// Scorers by one of an engine's numbers, relative to the most and the fewest among the candidates.
#[derive(Clone, Copy, Debug)]
pub(super) enum Relative {
    /// By the requests that wait.
    Waiting,
    /// By the requests in the batch.
    Running,
}

impl Relative {
    fn count(self, candidate: &Candidate<'_>) -> Option<u32> {
        match self {
            Self::Waiting => candidate.waiting(),
            Self::Running => candidate.running(),
        }
    }
}

impl ScorerPlugin for Relative {
    fn needs(&self) -> Needs<'_> {
        Needs::NOTHING
    }

    fn score_all(
        &self,
        _: &PickContext<'_>,
        candidates: &[Candidate<'_>],
        scores: &mut Vec<Score>,
    ) {
        let count = |candidate: &Candidate<'_>| self.count(candidate);
        let (fewest, most) = candidates
            .iter()
            .filter_map(count)
            .fold((u32::MAX, 0), |(fewest, most), count| (fewest.min(count), most.max(count)));
        each(candidates, scores, |candidate| {
            count(candidate).map_or(Score::ZERO, |count| score(count, fewest, most))
        });
    }
}

/// Scores `(most - count) / (most - fewest)`, and 1 when all are equal.
fn score(count: u32, fewest: u32, most: u32) -> Score {
    if most == fewest {
        return Score::ONE;
    }
    Score::clamped(f64::from(most.saturating_sub(count)) / f64::from(most.saturating_sub(fewest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_relative_to_the_pool() {
        assert_eq!(score(0, 0, 8), Score::ONE);
        assert_eq!(score(2, 0, 8), Score::clamped(0.75));
        assert_eq!(score(8, 0, 8), Score::ZERO);
        assert_eq!(score(7, 7, 7), Score::ONE);
    }
}
