//! The fewer requests wait at an endpoint, the better (EPP: queue-scorer).

use super::{Candidate, Score};

/// A score for each candidate, relative to the longest and the shortest queue among them.
pub(super) fn scores(candidates: &[Candidate]) -> Vec<Score> {
    let waiting = |candidate: &Candidate| candidate.load.fresh().map(|gauges| gauges.waiting);
    let fresh = || candidates.iter().filter_map(waiting);
    let (shortest, longest) = (fresh().min().unwrap_or(0), fresh().max().unwrap_or(0));
    let score = |waiting| score(waiting, shortest, longest);
    candidates.iter().map(|candidate| waiting(candidate).map_or(Score::ZERO, score)).collect()
}

/// `(longest - waiting) / (longest - shortest)`, and 1 when all queues are as long.
fn score(waiting: u32, shortest: u32, longest: u32) -> Score {
    if longest == shortest {
        return Score::ONE;
    }
    Score::clamped(
        f64::from(longest.saturating_sub(waiting)) / f64::from(longest.saturating_sub(shortest)),
    )
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
