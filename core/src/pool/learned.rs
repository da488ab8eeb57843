//! What is learnt from how requests did.

mod predictor;
mod rates;

pub(crate) use predictor::{Features, Predictor};
pub(crate) use rates::Rates;

use std::time::Duration;

use super::Slot;
use crate::model::EndpointObservation;

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Learned {
    /// How fast each endpoint computes prompts.
    pub(crate) rates: Rates,
    /// How long a first token takes, by load and prompt.
    pub(crate) ttft: Predictor,
    /// How long each further one takes, by the same.
    pub(crate) tpot: Predictor,
    /// The tokens that a request has to have computed, in the mean of the last hundred.
    pub(crate) usual_tokens: f64,
    /// When each endpoint last took a prompt that nobody had cached; zero for never.
    cold: Vec<u64>,
    /// Requests in that mean.
    sends: u32,
    /// Prompts so far that nobody had cached.
    colds: u64,
}

impl Learned {
    /// Enough to tell the length that is usual from that of one long prompt.
    const SENDS_MEANT: u32 = 100;

    /// A first token came `ttft` after its request was sent, whose prompt was computed by an endpoint
    /// that was seen like this. Where another answers, the time is still that of the first: there the
    /// prompt queues and is computed, and what the other adds, a transfer and one step, is little.
    pub(crate) fn first_token(&mut self, slot: Slot, sight: &EndpointObservation, ttft: Duration) {
        self.rates.first_token(slot, sight, ttft);
        if sight.load.is_some() {
            self.ttft.observe(&Features::from_observation(sight), ttft.as_secs_f64());
        }
    }

    /// The tokens of a response came `tpot` apart, from an endpoint that was seen like this when the
    /// request was sent.
    pub(crate) fn streamed(&mut self, sight: &EndpointObservation, tpot: Duration) {
        if sight.load.is_some() {
            self.tpot.observe(&Features::from_observation(sight), tpot.as_secs_f64());
        }
    }

    /// A request was sent of whose prompt so much has to be computed.
    pub(crate) fn sent(&mut self, uncached_tokens: u32) {
        self.sends = self.sends.saturating_add(1).min(Self::SENDS_MEANT);
        let tokens = f64::from(uncached_tokens);
        self.usual_tokens += (tokens - self.usual_tokens) / f64::from(self.sends);
    }

    /// An endpoint gets a prompt that nobody had cached.
    pub(crate) fn sent_cold(&mut self, slot: Slot) {
        self.colds += 1;
        if self.cold.len() <= slot.index() {
            self.cold.resize(slot.index() + 1, 0);
        }
        if let Some(last) = self.cold.get_mut(slot.index()) {
            *last = self.colds;
        }
    }

    /// When an endpoint last took such a prompt, on a scale that only has an order.
    pub(crate) fn last_cold(&self, slot: Slot) -> u64 {
        self.cold.get(slot.index()).copied().unwrap_or(0)
    }

    /// Forgets an endpoint that left: another one will get its slot.
    pub(crate) fn forget(&mut self, slot: Slot) {
        self.rates.forget(slot);
        if let Some(last) = self.cold.get_mut(slot.index()) {
            *last = 0;
        }
    }
}
