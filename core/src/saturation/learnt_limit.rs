//! The limit that was learnt of one endpoint.

/// The limit that was learnt of one endpoint, as of one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LearntLimit {
    /// Requests of all known gateways that it may have in flight; none where those of strangers take all.
    pub places: u32,
    /// Requests that were seen to run at once, strangers aside.
    pub capacity: u32,
    /// True if the engine said of late that its batch is full.
    pub is_full: bool,
    /// Seconds of prompts that low bands may have computed there at once.
    pub allowance: f64,
    /// Share of prompts in the KV cache that requests are expected to take, 0 to 1.
    pub prompt_share: f64,
}
