//! The tokens of a request, as its answer counts them.

/// Tokens of a request, as the engine counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenUsage {
    /// Tokens of the prompt.
    pub prompt: u32,
    /// Tokens of the prompt that were cached; `None` where the engine does not say.
    pub cached: Option<u32>,
    /// Tokens that were generated.
    pub output: u32,
}
