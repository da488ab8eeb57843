//! Makes the question to the scheduler out of a request's body.

use super::{Api, Inference, Piece};
use picker_core::{Chainer, InferenceRequest, PromptKey, Seed};

/// Scope within which prompts share blocks, beside what the request itself says.
#[derive(Clone, Copy, Debug, Default)]
pub struct PromptScope<'a> {
    /// Model that the request is sent to.
    pub model: &'a str,
    /// Tenant, where the prompt shares no block with those of other tenants.
    pub tenant: Option<&'a str>,
    /// Key of all hashes.
    pub key: PromptKey,
}

impl Inference<'_> {
    /// Returns the request for the scope's model: the prompt reduced to hashes of at most `blocks_max`
    /// blocks; a longer one counts up to there. A prompt that is only counted or rendered goes by
    /// load.
    #[must_use]
    pub fn ask(&self, api: Api, scope: PromptScope<'_>, blocks_max: u32) -> InferenceRequest {
        let PromptScope { model, tenant, key } = scope;
        if !api.computes() {
            return InferenceRequest::default();
        }
        let cache_salt = String::from_utf8_lossy(self.cache_salt.unwrap_or_default());
        // The APIs have no field for an adapter: it is asked for as a model.
        let seed = Seed { model, adapter: "", cache_salt: &cache_salt, tenant, key };
        let mut chainer = Chainer::new(&seed, blocks_max);
        for piece in &self.prompt {
            piece.chain(&mut chainer);
        }
        let media = self.prompt.iter().filter(|piece| matches!(piece, Piece::Media(..))).count();
        InferenceRequest {
            chain: chainer.finish(),
            model: model.to_owned(),
            media: u32::try_from(media).unwrap_or(u32::MAX),
            ..InferenceRequest::default()
        }
    }
}
