//! What answers teach of the order of prompts: the tests that requests make, and their outcomes.

use super::Scheduler;
use crate::{
    model::{BLOCK_BYTES, Instant, PromptHead, PromptOrder, RequestId, TokenUsage},
    pool::{HeadSent, OrderTrial, Placement},
};

impl Scheduler {
    /// Returns the order in which the chat template of a model is believed to write a prompt.
    #[must_use]
    pub(crate) fn prompt_order(&self, model: &str) -> PromptOrder {
        self.learned.templates.order(model)
    }

    /// Returns what the answer to a request of so many blocks will tell of its model's template, if
    /// anything.
    pub(super) fn try_order(
        &mut self,
        head: &PromptHead,
        placement: &Placement,
        blocks: u32,
    ) -> Option<OrderTrial> {
        let (endpoint, sight) = placement.computing();
        let slot = self.slot(endpoint)?;
        let sent = HeadSent {
            slot,
            prompt: bytes(blocks),
            matched: bytes(sight.matched),
            keeps_for: self.learned.turnover.cache(slot).keeps_for,
            at: placement.at,
        };
        let model = placement.size.as_ref().map_or("", |it| &it.model);
        self.learned.templates.sent(model, head, sent)
    }

    /// Notes that the head of a request's prompt is computed where it went. After a retry that is not
    /// known.
    pub(super) fn learn_head(&mut self, id: RequestId, now: Instant) {
        let Some(placement) = self.placements.get_mut(id).filter(|it| !it.is_moved) else { return };
        let Some(head) = placement.head.take() else { return };
        let (endpoint, _) = placement.computing();
        if let Some(slot) = self.slot(endpoint) {
            self.learned.templates.computed(slot, &head, now);
        }
    }

    /// Learns from the usage that an answer tells.
    pub(super) fn learn_usage(&mut self, id: RequestId, now: Instant, usage: TokenUsage) {
        self.note_usage(usage);
        let Some(placement) = self.placements.get_mut(id) else { return };
        if usage.output > 0 {
            self.learned.outputs.ended(&placement.kinds, usage.output, now);
        }
        if let Some(size) = placement.size.take_if(|_| usage.prompt > 0) {
            self.learned.texts.learn(&size, usage.prompt);
        }
        // After a retry, what the endpoint had is not known.
        if let Some(trial) = placement.trial.take().filter(|_| !placement.is_moved) {
            self.learned.templates.answered(&trial, usage, now);
        }
    }
}

/// Returns the bytes that blocks stand for.
fn bytes(blocks: u32) -> f64 {
    f64::from(blocks) * f64::from(u32::try_from(BLOCK_BYTES).unwrap_or(u32::MAX))
}
