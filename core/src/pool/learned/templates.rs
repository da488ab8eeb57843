//! The order in which each model's chat template writes the head of a prompt, learnt from what answers say
//! was cached.
//!
//! Two prompts with one system message and different tools share a prefix only if the template writes the
//! system message first. So where a template has the tools is seen at a request of which the two orders
//! expect different shares of the prompt to be cached: its answer says which of them is right. The same
//! tells if the options of the template (`chat_template_kwargs`, `reasoning_effort`) change the head.
//!
//! Only an expectation of the other order that is much higher than the believed one's is tested: it is a
//! proof if it comes true, and speaks for the belief if it does not. Each worker learns by its own answers. A
//! client that has prompts cached past the picker can mislead it about a model: that costs prefix hits, and
//! lasts until others' answers say better.

use std::time::Duration;

use super::{
    belief::Belief,
    seen::{HeadSent, SeenHeads},
};
use crate::{
    model::{HeadPart, Instant, PromptHead, PromptOrder, TokenUsage, ToolsAt, digest_all},
    pool::Slot,
};

/// Models of which an order is remembered: a pool serves a few, and some hundred adapters at most, which
/// have their base model's template. 6 kB.
const MODELS_MAX: usize = 64;

/// Time for which a model keeps its place without a request: names that a client makes up do not drive
/// out the models in use.
const MODEL_IDLE: Duration = Duration::from_secs(60);

/// Bytes that an order has to expect cached to be tested by: 256 tokens. What all prompts of a template
/// begin with is shorter, and proves nothing.
const BYTES_MIN: f64 = 1_024.0;

/// The beliefs about all models' templates.
#[derive(Clone, Debug, Default)]
pub(crate) struct Templates {
    /// Secret by which names and heads are placed.
    seed: u64,
    models: Vec<Template>,
    seen: SeenHeads,
}

/// The beliefs about one model's template.
#[derive(Clone, Copy, Debug, Default)]
struct Template {
    model: u64,
    used: Instant,
    /// True if the system messages come in front of the tools.
    system_first: Belief,
    options_lead: Belief,
}

/// A request of which two orders expect different things.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct OrderTrial {
    model: u64,
    tests: Tested,
    /// Bytes of the prompt, in the measure of blocks.
    prompt: f64,
    /// Cached bytes from which on the answer speaks for the tested order.
    proof: f64,
    /// Cached bytes beyond which neither order explains the answer: another gateway sent this prompt.
    limit: f64,
}

/// The question that a trial answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tested {
    /// The system messages in front of the tools, or behind them.
    SystemFirst(bool),
    /// The options of the template do not change the head.
    OptionsFree,
}

impl Templates {
    /// Makes a table that strangers cannot aim at without the seed.
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Returns the order in which a model's template is believed to write a prompt.
    pub(crate) fn order(&self, model: &str) -> PromptOrder {
        let key = self.key(model);
        let known = self.models.iter().find(|it| it.model == key);
        known.map(Template::order).unwrap_or_default()
    }

    /// Returns the trial that a request makes, which is sent to an endpoint that was seen like this. `None`
    /// where the orders expect the same.
    pub(crate) fn sent(
        &mut self,
        model: &str,
        head: &PromptHead,
        sent: HeadSent,
    ) -> Option<OrderTrial> {
        let model = self.key(model);
        if let Some(known) = self.models.iter_mut().find(|it| it.model == model) {
            known.used = sent.at;
        }
        let has = |part| self.seen.has(self.seed, head.key(part), &sent);
        let bytes = |part| f64::from(head.bytes(part));
        if has(HeadPart::Both) {
            let all = bytes(HeadPart::Both);
            let is_told = if head.order.options_lead {
                sent.matched <= all / 2.0
            } else {
                sent.matched >= all / 2.0
            };
            let tests = all >= BYTES_MIN && is_told && !has(HeadPart::All);
            return tests.then(|| OrderTrial {
                model,
                tests: Tested::OptionsFree,
                prompt: sent.prompt,
                proof: all / 2.0,
                limit: f64::INFINITY,
            });
        }
        let (system_first, tested, other) = match head.order.tools_at {
            ToolsAt::Front => (true, HeadPart::System, HeadPart::Tools),
            ToolsAt::AfterSystem | ToolsAt::BeforeLastUser => {
                (false, HeadPart::Tools, HeadPart::System)
            }
        };
        let expected = bytes(tested);
        let tests = expected >= BYTES_MIN && bytes(other) > 0.0 && has(tested);
        let differs = sent.matched <= expected / 2.0;
        (tests && differs).then(|| OrderTrial {
            model,
            tests: Tested::SystemFirst(system_first),
            prompt: sent.prompt,
            proof: (expected + sent.matched) / 2.0,
            limit: expected + bytes(other) / 2.0,
        })
    }

    /// Notes that an endpoint has computed a prompt with this head.
    pub(crate) fn computed(&mut self, slot: Slot, head: &PromptHead, now: Instant) {
        for part in [HeadPart::System, HeadPart::Tools, HeadPart::Both, HeadPart::All] {
            self.seen.add(self.seed, head.key(part), slot, now);
        }
    }

    /// Forgets where heads were computed: an endpoint has lost its cache, or another has its slot. That is
    /// rare, and what is known of the others is back with a few requests.
    pub(super) fn forget_heads(&mut self) {
        self.seen = SeenHeads::default();
    }

    /// Learns from the answer to a request that made a trial.
    pub(crate) fn answered(&mut self, trial: &OrderTrial, usage: TokenUsage, now: Instant) {
        let Some(cached) = usage.cached.filter(|_| usage.prompt > 0) else { return };
        let cached = f64::from(cached) / f64::from(usage.prompt) * trial.prompt;
        if cached > trial.limit {
            return;
        }
        let is_true = cached >= trial.proof;
        let Some(template) = self.template(trial.model, now) else { return };
        match trial.tests {
            Tested::SystemFirst(first) => template.system_first.vote(is_true == first, now),
            Tested::OptionsFree => template.options_lead.vote(!is_true, now),
        }
    }

    fn key(&self, model: &str) -> u64 {
        digest_all(self.seed, model.as_bytes())
    }

    /// Returns a model's entry, which takes the place of one that is out of use; `None` where all are in
    /// use.
    fn template(&mut self, model: u64, now: Instant) -> Option<&mut Template> {
        let new = Template { model, used: now, ..Template::default() };
        let found = self.models.iter().position(|it| it.model == model);
        let index = if let Some(index) = found {
            index
        } else if self.models.len() < MODELS_MAX {
            self.models.push(new);
            self.models.len() - 1
        } else {
            let idle = (0..).zip(&self.models).min_by_key(|(_, it)| it.used);
            let (index, oldest) = idle?;
            if now.saturating_since(oldest.used) < MODEL_IDLE {
                return None;
            }
            let place = self.models.get_mut(index)?;
            *place = new;
            index
        };
        self.models.get_mut(index)
    }
}

impl Template {
    fn order(&self) -> PromptOrder {
        let tools_at = if self.system_first.is() { ToolsAt::AfterSystem } else { ToolsAt::Front };
        PromptOrder { tools_at, options_lead: self.options_lead.is() }
    }
}

#[cfg(test)]
mod tests;
