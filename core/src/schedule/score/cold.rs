//! A prompt that no endpoint has cached goes to the one that took such a prompt longest ago (EPP:
//! no-hit-lru-scorer).

use super::plugin::ScorerPlugin;
use crate::{
    model::Score,
    pool::{Candidate, Learned},
    schedule::{Needs, PickContext},
};

/// The scorer of prompts without a match, which has no parameters.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoHitLru;

impl ScorerPlugin for NoHitLru {
    fn needs(&self) -> Needs<'_> {
        Needs::NOTHING
    }

    fn score_all(
        &self,
        context: &PickContext<'_>,
        candidates: &[Candidate<'_>],
        scores: &mut Vec<Score>,
    ) {
        score(context.learned, candidates, scores);
    }
}

/// Scores 0.5 for all if any endpoint has a part of the prompt; else `1 - rank / (n - 1)`, by when
/// each took such a prompt last: those that never did first.
fn score(learned: &Learned, candidates: &[Candidate<'_>], scores: &mut Vec<Score>) {
    if candidates.iter().any(|candidate| candidate.matched > 0) {
        scores.extend(candidates.iter().map(|_| Score::clamped(0.5)));
        return;
    }
    let mut order: Vec<(u64, usize)> = candidates
        .iter()
        .enumerate()
        .map(|(place, candidate)| (learned.last_cold(candidate.slot), place))
        .collect();
    order.sort_unstable();
    let before = scores.len();
    scores.resize(before + candidates.len(), Score::ONE);
    let last = order.len().saturating_sub(1);
    for (rank, (_, place)) in order.into_iter().enumerate() {
        if let Some(score) = scores.get_mut(before + place) {
            *score = by_rank(rank, last);
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "ranks are below 4,096")]
fn by_rank(rank: usize, last: usize) -> Score {
    if last == 0 { Score::ONE } else { Score::clamped(1.0 - rank as f64 / last as f64) }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "what is compared is exact or was rounded")]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_spread_evenly() {
        assert_eq!([0, 1, 2].map(|rank| by_rank(rank, 2).get()), [1.0, 0.5, 0.0]);
        assert_eq!(by_rank(0, 0), Score::ONE);
    }
}
