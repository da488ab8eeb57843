//! The estimate of an answer's length.

/// The way in which the output of a request is estimated.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum OutputEstimate {
    /// By the lengths of answers so far.
    #[default]
    Learnt,
    /// By the prompt's length, and so as a part of the tokens in flight until the request ends (EPP:
    /// inflight-load-producer, addEstimatedOutputTokens).
    OfPrompt(OutputRatio),
}

impl OutputEstimate {
    /// True if the estimate is a part of the tokens in flight.
    pub(crate) const fn counts_as_load(self) -> bool {
        matches!(self, Self::OfPrompt(_))
    }
}

/// Output tokens for each token of the prompt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutputRatio {
    /// Tokens of output for one of the prompt: 1.5.
    pub ratio: f64,
    /// Most tokens of output; `None` without a limit.
    pub tokens_max: Option<u32>,
}

impl Default for OutputRatio {
    fn default() -> Self {
        Self { ratio: 1.5, tokens_max: None }
    }
}

impl OutputRatio {
    /// Returns the output that is estimated for a prompt of so many tokens.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what is beyond u32 counts as its end"
    )]
    pub fn tokens(self, prompt: u32) -> u32 {
        let tokens = (f64::from(prompt) * self.ratio) as u32;
        self.tokens_max.map_or(tokens, |max| tokens.min(max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_in_proportion_up_to_a_limit() {
        let default = OutputRatio::default();
        assert_eq!(
            [0, 3, 100, u32::MAX].map(|prompt| default.tokens(prompt)),
            [0, 4, 150, u32::MAX]
        );
        let limited = OutputRatio { tokens_max: Some(100), ..default };
        assert_eq!([10, 100].map(|prompt| limited.tokens(prompt)), [15, 100]);
    }
}
