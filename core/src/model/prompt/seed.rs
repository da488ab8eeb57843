//! Properties besides its bytes on which a prompt's hashes depend.

use super::digest::{digest_all, mix};

/// The key of all chains of a pool, derived from the secret that its gateways and its scraper share.
///
/// Hashes of prompts cross the network between gateways. Each is sealed with the key, so that without it a record of them
/// tests no guess of what was asked, unless its owner may send prompts through a gateway. All workers and gateways of a
/// pool need the same key: under another one no prompt looks like any that was seen before. While a secret is replaced by
/// another and both are known, the key is derived from the one that the latest push was signed with. It is the same for all
/// gateways, in whatever order they learn of the new one, and changes once, at which caches are learnt anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PromptKey(u64);

impl PromptKey {
    /// Makes a key of 64 bits that only holders of the secret can derive. Zero stands for no key.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Returns its bits, for what else is hashed by all workers alike.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Returns the hash that chains start from.
    fn start(self) -> u64 {
        if self == Self::default() { START } else { mix(START, self.0) }
    }
}

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
    /// The key of all chains; the default without a secret.
    pub key: PromptKey,
    /// The tenant, where tenants must not learn of each other by shared prefixes; an unnamed one is
    /// empty. `None` where all tenants share.
    pub tenant: Option<&'a str>,
}

/// The hash that every chain starts from: `llm-pik2` in ASCII. A change of the hash function has to
/// change it.
const START: u64 = 0x6c6c_6d2d_7069_6b32;

impl Seed<'_> {
    /// Returns the hash before the first block.
    pub(super) fn hash(&self) -> u64 {
        let fields = [self.model, self.adapter, self.cache_salt];
        fields
            .into_iter()
            .chain(self.tenant)
            .fold(self.key.start(), |hash, field| digest_all(hash, field.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(key: u64) -> u64 {
        Seed { model: "a", key: PromptKey::from_bits(key), ..Seed::default() }.hash()
    }

    #[test]
    fn chains_of_another_key_have_nothing_in_common() {
        assert_eq!(hash(7), hash(7));
        assert_ne!(hash(7), hash(8));
        assert_ne!(hash(0), hash(8));
        assert_eq!(
            hash(0),
            Seed { model: "a", ..Seed::default() }.hash(),
            "no key changes nothing"
        );
    }
}
