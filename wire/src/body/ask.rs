//! Makes the question to the scheduler out of a request's body.

use super::{Api, Inference, Piece};
use picker_core::{Chainer, InferenceRequest, PromptOrder, Seed};

/// Rules by which a request's prompt is hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HashRules<'a> {
    /// Model that the request is sent to.
    pub model: &'a str,
    /// Tenant whose prompts share no block with those of others; `None` where all share.
    pub tenant: Option<&'a str>,
    /// Blocks that are hashed; a longer prompt counts up to there.
    pub blocks_max: u32,
    /// Order of the prompt's sections.
    pub order: PromptOrder,
}

impl Inference<'_> {
    /// True if the order of the model's chat template matters to the prompt: it has tools, documents or
    /// options of the template.
    #[must_use]
    pub fn has_order(&self) -> bool {
        self.sections.are_movable()
    }

    /// Returns the request, its prompt reduced to hashes. A prompt that is only counted or rendered goes
    /// by load.
    #[must_use]
    pub fn ask(&self, api: Api, rules: HashRules<'_>) -> InferenceRequest {
        if !api.computes() {
            return InferenceRequest::default();
        }
        let HashRules { model, tenant, blocks_max, order } = rules;
        let cache_salt = String::from_utf8_lossy(self.cache_salt.unwrap_or_default());
        // The APIs have no field for an adapter: it is asked for as a model.
        let seed = Seed { model, adapter: "", cache_salt: &cache_salt, tenant };
        let mut chainer = Chainer::new(&seed, blocks_max);
        for piece in self.sections.arrange(&self.prompt, order) {
            piece.chain(&mut chainer);
        }
        let media = self.prompt.iter().filter(|piece| matches!(piece, Piece::Media(..))).count();
        InferenceRequest {
            chain: chainer.finish(),
            head: self.sections.head(&self.prompt, &seed, order),
            model: model.to_owned(),
            media: u32::try_from(media).unwrap_or(u32::MAX),
            ..InferenceRequest::default()
        }
    }
}
