//! Lessons from how requests did.

mod belief;
mod demand;
mod limits;
mod outputs;
mod predictor;
mod rates;
mod reuse;
mod seen;
mod strangers;
mod templates;
mod texts;
mod turnover;

pub(crate) use demand::Demand;
pub(crate) use limits::{LearntLimits, Look, Occupants, SentPrompt};
pub(crate) use outputs::{OutputKinds, OutputLengths};
pub(crate) use predictor::{Features, Predictor};
pub(crate) use rates::Rates;
pub(crate) use reuse::Reuse;
pub(crate) use seen::HeadSent;
pub(crate) use strangers::Strangers;
pub(crate) use templates::{OrderTrial, Templates};
pub(crate) use texts::Texts;
pub(crate) use turnover::Turnover;

use std::time::Duration;

use super::Slot;
use crate::model::{BLOCK_BYTES, EndpointObservation, Instant};

/// The lessons of one pool.
#[derive(Clone, Debug, Default)]
pub(crate) struct Learned {
    /// Rates at which endpoints compute prompts.
    pub(crate) rates: Rates,
    /// Time of a first token, by load and prompt.
    pub(crate) ttft: Predictor,
    /// Time of each further token, by the same.
    pub(crate) tpot: Predictor,
    /// The tokens that a request has to have computed, in the mean of the last hundred.
    pub(crate) usual_tokens: f64,
    /// Prefixes that many prompts ask for.
    pub(crate) reuse: Reuse,
    /// Tokens that the endpoints are sent to compute.
    pub(crate) demand: Demand,
    /// Limits that the endpoints show by themselves; empty unless the detector goes by them.
    pub(crate) limits: LearntLimits,
    /// Requests that others sent.
    pub(crate) strangers: Strangers,
    /// Lengths of answers.
    pub(crate) outputs: OutputLengths,
    /// Orders of the models' chat templates.
    pub(crate) templates: Templates,
    /// Bytes per token of the prompts.
    pub(crate) texts: Texts,
    /// Pace of the caches.
    pub(crate) turnover: Turnover,
    /// True if an endpoint of the latest snapshot tells of LoRA adapters.
    pub(crate) has_adapters: bool,
    /// Order of the last prompts that no endpoint had cached, by the endpoint that took them; zero
    /// for never.
    cold: Vec<u64>,
    /// Requests in that mean.
    sends: u32,
    /// Number of prompts so far that no endpoint had cached.
    colds: u64,
}

impl Learned {
    /// Enough to tell the length that is usual from that of one long prompt.
    const SENDS_MEANT: u32 = 100;

    /// Seconds that a first token may take beyond what is usual and is believed: an engine's steps, and a burst.
    const TTFT_SPARE: f64 = 0.25;

    /// The same of a further token: a step in which prompts are computed.
    const TPOT_SPARE: f64 = 0.05;

    /// Returns lessons without any experience; the secret keeps strangers from aiming at their tables.
    pub(crate) fn new(secret: u64) -> Self {
        Self {
            reuse: Reuse::new(secret),
            outputs: OutputLengths::new(secret),
            templates: Templates::new(secret),
            ..Self::default()
        }
    }

    /// Learns that a first token came `ttft` after its request was sent, of which an endpoint that
    /// was seen like this computed the prompt. If another endpoint answers, the time is still that
    /// of the first: there the prompt queues and is computed, and what the other adds, a transfer
    /// and one step, is little.
    pub(crate) fn first_token(&mut self, slot: Slot, sight: &EndpointObservation, ttft: Duration) {
        self.rates.first_token(slot, sight, ttft);
        if sight.load.is_some() {
            let features = Features::from_observation(sight);
            let seconds = self.ttft.believed(&features, ttft.as_secs_f64(), Self::TTFT_SPARE);
            self.ttft.observe(&features, seconds);
        }
    }

    /// Learns that the tokens of a response came `tpot` apart, from an endpoint that was seen like
    /// this when the request was sent.
    pub(crate) fn streamed(&mut self, sight: &EndpointObservation, tpot: Duration) {
        if sight.load.is_some() {
            let features = Features::from_observation(sight);
            let seconds = self.tpot.believed(&features, tpot.as_secs_f64(), Self::TPOT_SPARE);
            self.tpot.observe(&features, seconds);
        }
    }

    /// Learns the length of a prompt that was sent: the tokens of it that have to be computed.
    pub(crate) fn sent(&mut self, uncached_tokens: u32) {
        self.sends = self.sends.saturating_add(1).min(Self::SENDS_MEANT);
        let tokens = f64::from(uncached_tokens);
        self.usual_tokens += (tokens - self.usual_tokens) / f64::from(self.sends);
    }

    /// Notes that an endpoint is sent so many blocks to compute.
    pub(crate) fn computes(&mut self, blocks: u32, at: Instant) {
        let bytes = u64::from(blocks) * u64::try_from(BLOCK_BYTES).unwrap_or(0);
        self.demand.add(self.texts.of_caches().tokens(bytes), at);
    }

    /// Notes that an endpoint gets a prompt that no endpoint had cached.
    pub(crate) fn sent_cold(&mut self, slot: Slot) {
        self.colds += 1;
        if self.cold.len() <= slot.index() {
            self.cold.resize(slot.index() + 1, 0);
        }
        if let Some(last) = self.cold.get_mut(slot.index()) {
            *last = self.colds;
        }
    }

    /// Returns the order of the last such prompt of an endpoint; zero for never.
    pub(crate) fn last_cold(&self, slot: Slot) -> u64 {
        self.cold.get(slot.index()).copied().unwrap_or(0)
    }

    /// Forgets an endpoint that left: another one will get its slot.
    pub(crate) fn forget(&mut self, slot: Slot) {
        self.rates.forget(slot);
        self.limits.forget(slot);
        self.strangers.forget(slot);
        self.turnover.seen(slot, None);
        self.templates.forget_heads();
        if let Some(last) = self.cold.get_mut(slot.index()) {
            *last = 0;
        }
    }
}
