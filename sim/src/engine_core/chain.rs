//! Tokens and the chain of block hashes over them.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes of text in one token: text is cut into packs of this many, the last one padded with
/// zeros. English runs at about four bytes a token in real vocabularies.
pub const TOKEN_BYTES: usize = 4;

/// A sequence of tokens, kept as the hash of every full block (each hash covers all before it) and
/// the bytes of the block that is being filled.
#[derive(Clone, Debug)]
pub struct Chain {
    block_tokens: usize,
    hashes: Vec<u64>,
    parent: u64,
    tail: Vec<u8>,
    tokens: usize,
}

impl Chain {
    /// Returns an empty sequence in blocks of `block_tokens`. Chains with different `root`s
    /// (adapter, `cache_salt`) share no hash.
    #[must_use]
    pub fn new(block_tokens: usize, root: &str) -> Self {
        let parent = xxh3_64_with_seed(root.as_bytes(), 0);
        let tail = Vec::with_capacity(block_tokens * TOKEN_BYTES);
        Self { block_tokens, hashes: Vec::new(), parent, tail, tokens: 0 }
    }

    /// Returns a sequence of full blocks of which only the hashes are known, as in a published
    /// trace.
    #[must_use]
    pub fn from_hashes(block_tokens: usize, hashes: Vec<u64>) -> Self {
        let tokens = hashes.len() * block_tokens;
        let parent = hashes.last().copied().unwrap_or_default();
        Self { block_tokens, hashes, parent, tail: Vec::new(), tokens }
    }

    /// Appends one token.
    pub fn push(&mut self, token: u32) {
        self.tail.extend_from_slice(&token.to_le_bytes());
        self.tokens += 1;
        if self.tail.len() == self.block_tokens * TOKEN_BYTES {
            self.parent = xxh3_64_with_seed(&self.tail, self.parent);
            self.hashes.push(self.parent);
            self.tail.clear();
        }
    }

    /// Appends text; the first byte starts a token of its own.
    pub fn push_text(&mut self, text: &str) {
        for pack in text.as_bytes().chunks(TOKEN_BYTES) {
            let mut token = [0; TOKEN_BYTES];
            token.iter_mut().zip(pack).for_each(|(to, from)| *to = *from);
            self.push(u32::from_le_bytes(token));
        }
    }

    /// Returns the number of tokens.
    #[must_use]
    pub const fn tokens(&self) -> usize {
        self.tokens
    }

    /// Returns the hashes of the full blocks, in order.
    #[must_use]
    pub fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// Returns a number that depends on every token and on the root: the seed of the answer.
    #[must_use]
    pub fn digest(&self) -> u64 {
        xxh3_64_with_seed(&self.tail, self.parent)
    }
}

#[cfg(test)]
mod tests {
    use super::Chain;

    fn chain(root: &str, text: &str) -> Chain {
        let mut chain = Chain::new(2, root);
        chain.push_text(text);
        chain
    }

    #[test]
    fn equal_beginnings_share_hashes_and_roots_part_them() {
        let short = chain("", "one two three four ");
        let long = chain("", "one two three five!");
        assert_eq!((short.tokens(), short.hashes().len()), (5, 2));
        assert_eq!(short.hashes()[0], long.hashes()[0]);
        assert_ne!(short.hashes()[1], long.hashes()[1]);
        assert_ne!(short.hashes()[0], chain("salt", "one two three four ").hashes()[0]);
    }
}
