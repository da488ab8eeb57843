//! The fewer requests wait at an endpoint, or run there, the better, relative to the others
//! (EPP: queue-scorer, running-requests-size-scorer).

use crate::{
    model::Score,
    pool::{Candidate, EngineLoad},
};

/// Scores each candidate by one of its gauges, relative to the most and the fewest among them.
pub(super) fn score(
    candidates: &[Candidate<'_>],
    scores: &mut Vec<Score>,
    count: impl Fn(EngineLoad) -> u32,
) {
    let counts = || candidates.iter().filter_map(|candidate| candidate.gauges.map(&count));
    let (fewest, most) =
        counts().fold((u32::MAX, 0), |(fewest, most), count| (fewest.min(count), most.max(count)));
    scores.extend(candidates.iter().map(|candidate| {
        candidate.gauges.map_or(Score::ZERO, |gauges| of(count(gauges), fewest, most))
    }));
}

/// `(most - count) / (most - fewest)`, and 1 when all are equal.
fn of(count: u32, fewest: u32, most: u32) -> Score {
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
        assert_eq!(of(0, 0, 8), Score::ONE);
        assert_eq!(of(2, 0, 8), Score::clamped(0.75));
        assert_eq!(of(8, 0, 8), Score::ZERO);
        assert_eq!(of(7, 7, 7), Score::ONE);
    }
}
