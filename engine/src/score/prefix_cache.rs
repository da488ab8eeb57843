//! The more of the prompt an endpoint has cached, the better (EPP: prefix-cache-scorer).

use super::{Candidate, Score};

/// A score for each candidate, for a prompt of `blocks` blocks.
pub(super) fn scores(candidates: &[Candidate], blocks: u32) -> Vec<Score> {
    candidates.iter().map(|candidate| score(candidate.matched, blocks)).collect()
}

/// `matched / blocks`, and 0 for a prompt without a block.
fn score(matched: u32, blocks: u32) -> Score {
    if blocks == 0 {
        return Score::ZERO;
    }
    Score::clamped(f64::from(matched) / f64::from(blocks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_share_that_matched() {
        assert_eq!(score(0, 4), Score::ZERO);
        assert_eq!(score(3, 4), Score::clamped(0.75));
        assert_eq!(score(4, 4), Score::ONE);
        assert_eq!(score(0, 0), Score::ZERO);
    }
}
