//! From a request's body to what the engine asks about it.

use engine::{Ask, Chainer, Seed};
use wire::body::{self, Api, BodyError};

/// Reads a body once and reduces its prompt to hashes of at most `blocks_max` blocks; a longer
/// prompt counts up to there.
pub(crate) fn from_body(bytes: &[u8], api: Api, blocks_max: u32) -> Result<Ask, BodyError> {
    let inference = body::scan(bytes, api)?;
    let cache_salt = String::from_utf8_lossy(inference.cache_salt.unwrap_or_default());
    // The OpenAI APIs have no field for an adapter: it is asked for as a model.
    let seed = Seed { model: &inference.model, adapter: "", cache_salt: &cache_salt };
    let mut chainer = Chainer::new(&seed, blocks_max);
    for piece in &inference.prompt {
        chainer.update(piece);
    }
    let chain = chainer.finish();
    Ok(Ask { chain, model: inference.model.into_owned(), ..Ask::default() })
}
