//! The interface that every scorer implements in its own file.

use crate::{
    model::Score,
    pool::Candidate,
    schedule::{Needs, PickContext},
};

/// A scorer: a number for each candidate. Nothing has a default, so that a new scorer says what it
/// needs.
pub(super) trait ScorerPlugin {
    /// Returns what the scorer reads beside the prompt and the candidates.
    fn needs(&self) -> Needs<'_>;

    /// Appends a score for each candidate, in their order.
    fn score_all(
        &self,
        context: &PickContext<'_>,
        candidates: &[Candidate<'_>],
        scores: &mut Vec<Score>,
    );
}

/// Appends scores that each depend on one candidate alone.
pub(super) fn each(
    candidates: &[Candidate<'_>],
    scores: &mut Vec<Score>,
    score: impl Fn(&Candidate<'_>) -> Score,
) {
    scores.extend(candidates.iter().map(score));
}
