//! What one endpoint carries.

use std::time::Duration;

/// An endpoint's load: what its engine reported, and what the ledger counts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Requests that wait for a slot in the engine's batch, at the last scrape.
    pub waiting: u32,
    /// Requests in the batch, at the last scrape.
    pub running: u32,
    /// The share of the KV cache that live requests hold, 0 to 1, at the last scrape.
    pub kv_usage: f64,
    /// How old that is; `None` if there was no scrape yet, and the three above say nothing.
    pub metrics_age: Option<Duration>,
    /// Requests that this gateway sent and that have not ended.
    pub in_flight: u32,
    /// Their prompt tokens that were not cached.
    pub in_flight_tokens: u64,
    /// What it does of a request.
    pub stage: Stage,
}

/// What an endpoint does of a request in disaggregated serving.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// It answers; without the role's label, it does all there is to do.
    #[default]
    Decode,
    /// It computes prompts.
    Prefill,
    /// Both.
    Interleaved,
    /// Neither: it reads media.
    Encode,
}

impl Stage {
    /// Whether who computes a prompt and who answers are never measured together.
    pub(super) fn are_apart(loads: &[Load]) -> bool {
        loads.iter().any(Load::prefills) && !loads.iter().any(|it| it.prefills() && it.decodes())
    }
}

impl Load {
    /// Whether it counts for prompts that are computed apart.
    pub(super) fn prefills(&self) -> bool {
        matches!(self.stage, Stage::Prefill | Stage::Interleaved)
    }

    /// Whether it counts for answers.
    pub(super) fn decodes(&self) -> bool {
        matches!(self.stage, Stage::Decode | Stage::Interleaved)
    }
}
