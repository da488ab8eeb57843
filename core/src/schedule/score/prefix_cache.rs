//! The more of the prompt an endpoint has cached, the better (EPP: prefix-cache-scorer).

use super::plugin::{ScorerPlugin, each};
use crate::{
    model::{InferenceRequest, Score},
    pool::Candidate,
    schedule::{Needs, PickContext},
};

/// The part of a match's length in the score, beside its share of the prompt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrefixCache {
    /// From 0, where only the share counts, to 1, where only the length does.
    pub length_weight: f64,
    /// Match, in tokens, of which the length scores 1.
    pub length_scale: u32,
}

impl Default for PrefixCache {
    /// Returns the defaults of EPP: matchLengthWeight, matchLengthScaleTokens.
    fn default() -> Self {
        Self { length_weight: 0.0, length_scale: 8_192 }
    }
}

impl ScorerPlugin for PrefixCache {
    fn needs(&self) -> Needs<'_> {
        Needs::NOTHING
    }

    fn score_all(
        &self,
        context: &PickContext<'_>,
        candidates: &[Candidate<'_>],
        scores: &mut Vec<Score>,
    ) {
        each(candidates, scores, |candidate| self.score(candidate.matched, context.request));
    }
}

impl PrefixCache {
    /// Scores `w * min(1, matched tokens / scale)^2 + (1 - w) * matched / blocks`, and 0 for a
    /// prompt without a block.
    fn score(self, matched: u32, request: &InferenceRequest) -> Score {
        let blocks = request.chain.blocks;
        if blocks == 0 {
            return Score::ZERO;
        }
        let share = f64::from(matched) / f64::from(blocks);
        let length =
            f64::from(request.cached_tokens(matched)) / f64::from(self.length_scale.max(1));
        let weight = self.length_weight;
        Score::clamped(weight * length.min(1.0).powi(2) + (1.0 - weight) * share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Chain;

    fn request(blocks: u32) -> InferenceRequest {
        let chain = Chain { blocks, ..Chain::default() };
        InferenceRequest { chain, ..InferenceRequest::default() }
    }

    #[test]
    fn is_the_share_that_matched() {
        let score = |matched, blocks| PrefixCache::default().score(matched, &request(blocks));
        assert_eq!(score(0, 4), Score::ZERO);
        assert_eq!(score(3, 4), Score::clamped(0.75));
        assert_eq!(score(4, 4), Score::ONE);
        assert_eq!(score(0, 0), Score::ZERO);
    }

    #[test]
    fn a_long_match_counts_by_its_square() {
        let half = PrefixCache { length_weight: 0.5, length_scale: 6_400 };
        // 50 blocks are 3,200 tokens, half of the scale: 0.5 * 0.25 + 0.5 * 0.5.
        assert_eq!(half.score(50, &request(100)), Score::clamped(0.375));
        assert_eq!(half.score(1_000, &request(2_000)), Score::clamped(0.75));
        // Of a model with twice as many tokens in a block the same match is as long as the scale.
        let dense = InferenceRequest { prompt_tokens: Some(12_800), ..request(100) };
        assert_eq!(half.score(50, &dense), Score::clamped(0.75));
    }
}
