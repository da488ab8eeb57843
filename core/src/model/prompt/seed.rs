//! Properties besides its bytes on which a prompt's hashes depend.

use super::digest::digest_all;

/// The cache that a prompt may be found in: two prompts share blocks only if all of these are
/// equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seed<'a> {
    /// The model that the request is sent to, after rewrites.
    pub model: &'a str,
    /// The LoRA adapter: its key and value tensors differ from the base model's. Empty for none.
    pub adapter: &'a str,
    /// The request's `cache_salt`, by which vLLM keeps tenants apart; empty for none.
    pub cache_salt: &'a str,
    /// The tenant, where tenants must not learn of each other by shared prefixes; an unnamed one is
    /// empty. `None` where all tenants share.
    pub tenant: Option<&'a str>,
}

/// The hash that every chain starts from: `llm-pick` in ASCII. A change of the hash function has to
/// change it.
const START: u64 = 0x6c6c_6d2d_7069_636b;

impl Seed<'_> {
    /// Returns the hash before the first block.
    pub(super) fn hash(&self) -> u64 {
        let fields = [self.model, self.adapter, self.cache_salt];
        fields
            .into_iter()
            .chain(self.tenant)
            .fold(START, |hash, field| digest_all(hash, field.as_bytes()))
    }
}
