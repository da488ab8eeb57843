//! The key of the hashes of prompts, which cross the network between gateways.
//!
//! The key follows from the secret that the scraper signed with last, so that all gateways change it together
//! while one secret takes the place of another. It is in shared data, as all workers need the same.

use picker_core::PromptKey;
use wire::push::Secret;

use crate::host;

/// Key of the prompt key in shared data.
const KEY: &str = "llm-picker/v1/prompt-key";

/// Shares the key that follows from this secret.
pub(crate) fn share(secret: &Secret) {
    let key = secret.prompt_key().to_le_bytes();
    if host::shared(KEY).value != key {
        host::share(KEY, &key);
    }
}

/// Returns the key of all workers; the default without a secret, as where no scraper pushes.
pub(crate) fn shared() -> PromptKey {
    let bytes = host::shared(KEY).value;
    PromptKey::from_bits(bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)))
}
