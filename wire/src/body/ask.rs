//! Makes the question to the scheduler out of a request's body.

use super::{Api, Inference, Piece};
use picker_core::{Chainer, InferenceRequest, Seed};

impl Inference<'_> {
    /// Returns the request for `model`: the prompt reduced to hashes of at most `blocks_max`
    /// blocks; a longer one counts up to there. A prompt that is only counted or rendered goes by
    /// load. Where `tenant` is given, the prompt shares no block with those of other tenants.
    #[must_use]
    pub fn ask(
        &self,
        api: Api,
        model: &str,
        tenant: Option<&str>,
        blocks_max: u32,
    ) -> InferenceRequest {
        if !api.computes() {
            return InferenceRequest::default();
        }
        let cache_salt = String::from_utf8_lossy(self.cache_salt.unwrap_or_default());
        // The APIs have no field for an adapter: it is asked for as a model.
        let seed = Seed { model, cache_salt: &cache_salt, tenant, ..Seed::default() };
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
