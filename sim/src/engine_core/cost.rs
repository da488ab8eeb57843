//! The duration of a step.

use std::time::Duration;

/// Work of one step of the engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Number of prompt tokens computed (also those computed again after a preemption).
    pub prefill_tokens: u32,
    /// Sum over all computed tokens of the tokens each one looks back on.
    pub attended_tokens: u64,
    /// Number of requests that only get their next token.
    pub decodes: u32,
    /// Number of prompt tokens, cached or not, of the requests that enter the batch.
    pub admitted_tokens: u32,
}

/// The price list of a model on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Time of a step that computes next to nothing.
    pub step: Duration,
    /// Time for a prompt token.
    pub prefill_token: Duration,
    /// Time that a token takes for every 1,024 tokens that it looks back on.
    pub attention: Duration,
    /// Time for a decoding request.
    pub decode: Duration,
    /// Time to take in a prompt token, cached or not: JSON, hashes, block tables.
    pub admitted_token: Duration,
}

impl Cost {
    /// A price list by which nothing takes time.
    pub const FREE: Self = Self {
        step: Duration::ZERO,
        prefill_token: Duration::ZERO,
        attention: Duration::ZERO,
        decode: Duration::ZERO,
        admitted_token: Duration::ZERO,
    };

    /// Prices of vLLM 0.32 on two CPU cores with a model of 0.1 billion parameters, fitted to
    /// `tests/data/real-vllm-0.32.json`.
    pub const CPU: Self = Self {
        step: Duration::from_micros(11_800),
        prefill_token: Duration::from_micros(620),
        attention: Duration::from_micros(420),
        decode: Duration::from_micros(450),
        admitted_token: Duration::from_micros(4),
    };

    /// Returns the prices of a machine that is `speed` times as fast.
    #[must_use]
    pub fn faster(self, speed: f64) -> Self {
        let scale = |duration: Duration| duration.div_f64(speed);
        Self {
            step: scale(self.step),
            prefill_token: scale(self.prefill_token),
            attention: scale(self.attention),
            decode: scale(self.decode),
            admitted_token: scale(self.admitted_token),
        }
    }

    /// Returns the duration of a step with this work.
    #[must_use]
    pub fn step_time(&self, work: Work) -> Duration {
        /// The unit of [`Cost::attention`].
        const LOOK_BACK: u32 = 1024;
        let attended = u32::try_from(work.attended_tokens / u64::from(LOOK_BACK));
        self.step
            + self.prefill_token * work.prefill_tokens
            + self.attention * attended.unwrap_or(u32::MAX)
            + self.decode * work.decodes
            + self.admitted_token * work.admitted_tokens
    }
}
