//! The keyed function behind which the hashes of a chain leave their maker.
//!
//! A chain's own steps can be undone: of two hashes in a row, anyone computes the digest of the block between them,
//! whatever key the chain starts from. SipHash-1-3, by which hash tables are kept from strangers, has no such algebra, and
//! a prompt of the greatest length has 176 hashes.

use super::{BlockHash, PromptKey, digest::mix};

impl PromptKey {
    /// Returns a hash as it may cross the network. Without a key it stays as it is.
    pub(super) fn seal(self, BlockHash(hash): BlockHash) -> BlockHash {
        if self == Self::default() {
            return BlockHash(hash);
        }
        BlockHash(sip([self.bits(), mix(0, self.bits())], hash))
    }
}

/// Returns SipHash-1-3 of the eight bytes of a word.
const fn sip([low, high]: [u64; 2], word: u64) -> u64 {
    // "somepseudorandomlygeneratedbytes" in ASCII.
    let mut lanes = [
        low ^ 0x736f_6d65_7073_6575,
        high ^ 0x646f_7261_6e64_6f6d,
        low ^ 0x6c79_6765_6e65_7261,
        high ^ 0x7465_6462_7974_6573,
    ];
    // The length is a word of its own, in its highest byte.
    let length = 8 << 56;
    lanes[3] ^= word;
    lanes = round(lanes);
    lanes[0] ^= word;
    lanes[3] ^= length;
    lanes = round(lanes);
    lanes[0] ^= length;
    lanes[2] ^= 0xff;
    let [a, b, c, d] = round(round(round(lanes)));
    a ^ b ^ c ^ d
}

/// Returns the lanes after one round.
const fn round([a, b, c, d]: [u64; 4]) -> [u64; 4] {
    let a = a.wrapping_add(b);
    let b = b.rotate_left(13) ^ a;
    let c = c.wrapping_add(d);
    let d = d.rotate_left(16) ^ c;
    let (a, c) = (a.rotate_left(32).wrapping_add(d), c.wrapping_add(b));
    [a, b.rotate_left(17) ^ c, c.rotate_left(32), d.rotate_left(21) ^ a]
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hasher};

    use super::*;
    use crate::model::{BLOCK_BYTES, Chainer, Seed, prompt::digest::digest};

    #[test]
    fn a_word_has_the_hash_of_the_standard_library() {
        for word in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef] {
            let mut hasher = DefaultHasher::new();
            hasher.write_u64(word);
            assert_eq!(sip([0, 0], word), hasher.finish());
        }
    }

    /// Blocks that someone asked for, and the hashes that were recorded, with and without the key.
    #[test]
    fn recorded_hashes_confirm_no_guess() {
        let blocks = [[1; BLOCK_BYTES], [2; BLOCK_BYTES]];
        for (key, is_confirmed) in [(0, true), (0x1234_5678_9abc_def1, false)] {
            let seed = Seed { key: PromptKey::from_bits(key), ..Seed::default() };
            let mut chainer = Chainer::new(&seed, 9);
            blocks.iter().for_each(|block| chainer.update(block));
            let hashes = chainer.finish().hashes;
            let guessed = mix(hashes[0].0, digest(&blocks[1]));
            assert_eq!(guessed == hashes[1].0, is_confirmed, "{key}");
        }
    }

    #[test]
    fn chains_of_one_key_agree() {
        let key = PromptKey::from_bits(7);
        let chain = |text: &[u8]| {
            let mut chainer = Chainer::new(&Seed { key, ..Seed::default() }, 9);
            chainer.update(text);
            chainer.finish()
        };
        let (one, two) = (chain(&[5; 600]), chain(&[5; 700]));
        assert_eq!((one.blocks, one.hashes[..2] == two.hashes[..2]), (3, true));
        assert_ne!(one.hashes[2], two.hashes[2]);
    }
}
