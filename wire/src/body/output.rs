//! A request's wishes about its output.

/// Wishes of a request that bound or hide what its answer tells of its cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputWishes {
    /// Most tokens that may be generated, over all choices of all prompts, if the request says so.
    pub tokens_max: Option<u32>,
    /// True if tokens that are generated may not be in the answer.
    pub hides_some: bool,
}

impl OutputWishes {
    /// Returns the wishes of a request for so many choices of at most so many tokens.
    pub(super) fn new(tokens_max: Option<u64>, choices: u64, hides_some: bool) -> Self {
        let all = tokens_max.map(|tokens| tokens.saturating_mul(choices.max(1)));
        let tokens_max = all.map(|tokens| u32::try_from(tokens).unwrap_or(u32::MAX));
        Self { tokens_max, hides_some }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_holds_for_each_choice() {
        let most = |tokens, choices| OutputWishes::new(tokens, choices, false).tokens_max;
        assert_eq!(most(None, 3), None);
        assert_eq!(most(Some(100), 3), Some(300));
        assert_eq!(most(Some(100), 0), Some(100));
        assert_eq!(most(Some(u64::MAX), u64::MAX), Some(u32::MAX));
    }
}
