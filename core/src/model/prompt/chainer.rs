//! Prompt bytes in, chain out.

use super::{
    BlockHash, Chain, PromptKey, Seed,
    digest::{BLOCK_BYTES, Block, digest, digest_all, mix},
    positions,
};

/// The default limit on a prompt: 4 MB, about a million tokens, which is the longest context that
/// models serve. The EPP stops at 2,048 blocks; thinned out, eight times that cost 64 hashes more.
pub const BLOCKS_MAX: u32 = 16_384;

/// Bytes of prompt that are estimated to be one token (EPP: token-producer, estimate).
const TOKEN_BYTES: usize = 4;

/// The most tokens of one picture, film or sound that count: a billion would overflow.
const TOKENS_MAX: u32 = BLOCKS_MAX * 64;

/// Builds a [`Chain`] from a prompt that comes in pieces.
#[derive(Clone, Debug)]
pub struct Chainer {
    key: PromptKey,
    hash: u64,
    blocks: u32,
    max_blocks: u32,
    next_retained: u32,
    hashes: Vec<BlockHash>,
    /// The beginning of a block that ends in a piece to come.
    partial: Block,
    partial_len: usize,
}

impl Chainer {
    /// Returns a prompt without a byte yet, to be hashed up to `max_blocks` blocks. With a limit of
    /// zero the chain stays empty, and the request goes by load.
    #[must_use]
    pub fn new(seed: &Seed<'_>, max_blocks: u32) -> Self {
        Self {
            key: seed.key,
            hash: seed.hash(),
            blocks: 0,
            max_blocks,
            next_retained: positions::next(0),
            hashes: Vec::new(),
            partial: [0; BLOCK_BYTES],
            partial_len: 0,
        }
    }

    /// Appends a piece. Where the pieces are cut makes no difference. Whole blocks inside a piece
    /// are hashed where they lie; what is beyond the limit is ignored.
    pub fn update(&mut self, piece: &[u8]) {
        let piece = if self.partial_len == 0 { piece } else { self.fill(piece) };
        let (blocks, rest) = piece.as_chunks::<BLOCK_BYTES>();
        let room = usize::try_from(self.max_blocks - self.blocks).unwrap_or(usize::MAX);
        for block in blocks.iter().take(room) {
            self.push(block);
        }
        if !rest.is_empty() {
            self.fill(rest);
        }
    }

    /// Appends what is no text, such as an image, as so many tokens that all say which one it is.
    /// It begins at a whole token (EPP: token-producer, estimate).
    pub fn update_media(&mut self, identity: &[u8], tokens: u32) {
        let name = digest_all(0, identity).to_le_bytes();
        let mut block = [0; BLOCK_BYTES];
        block.as_chunks_mut::<8>().0.fill(name);
        let before = self.partial_len % TOKEN_BYTES;
        if before > 0 {
            self.update([0; TOKEN_BYTES].get(before..).unwrap_or_default());
        }
        let tokens = usize::try_from(tokens.min(TOKENS_MAX)).unwrap_or(usize::MAX);
        let mut left = tokens * TOKEN_BYTES;
        if self.partial_len > 0 {
            let head = left.min(BLOCK_BYTES - self.partial_len);
            self.fill(block.get(..head).unwrap_or_default());
            left -= head;
            // What follows goes on within the name where the head ended.
            block.rotate_left(head % name.len());
        }
        self.repeat(&block, left / BLOCK_BYTES);
        self.fill(block.get(..left % BLOCK_BYTES).unwrap_or_default());
    }

    /// Appends whole blocks that are all alike, of which one is hashed.
    fn repeat(&mut self, block: &Block, count: usize) {
        let room = usize::try_from(self.max_blocks - self.blocks).unwrap_or(usize::MAX);
        let count = count.min(room);
        if count > 0 {
            let digest = digest(block);
            (0..count).for_each(|_| self.join(digest));
        }
    }

    /// Returns the chain of all that was appended.
    #[must_use]
    pub fn finish(mut self) -> Chain {
        if self.partial_len > 0 && self.blocks < self.max_blocks {
            self.push_last();
        }
        if positions::count(self.blocks) as usize > self.hashes.len() {
            self.hashes.push(BlockHash(self.hash));
        }
        self.hashes.iter_mut().for_each(|hash| *hash = self.key.seal(*hash));
        let chain = Chain { hashes: self.hashes, blocks: self.blocks };
        debug_assert!(chain.is_whole());
        chain
    }

    /// Moves the head of `piece` into the partial block, and that into the chain once it is whole.
    /// Returns the rest of the piece.
    fn fill<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        let taken = piece.len().min(BLOCK_BYTES - self.partial_len);
        let (head, rest) = piece.split_at(taken);
        if let Some(room) = self.partial.get_mut(self.partial_len..self.partial_len + taken) {
            room.copy_from_slice(head);
        }
        self.partial_len += taken;
        if self.partial_len == BLOCK_BYTES {
            self.partial_len = 0;
            if self.blocks < self.max_blocks {
                let block = self.partial;
                self.push(&block);
            }
        }
        rest
    }

    fn push(&mut self, block: &Block) {
        self.join(digest(block));
    }

    /// Joins a block to the chain by its digest.
    fn join(&mut self, digest: u64) {
        self.hash = mix(self.hash, digest);
        self.blocks += 1;
        if self.blocks == self.next_retained {
            self.hashes.push(BlockHash(self.hash));
            self.next_retained = positions::next(self.blocks);
        }
    }

    /// Hashes the block that the prompt ends in the middle of: padded with zeros, as the EPP does,
    /// and with its length, so that it differs from a whole block that ends in zeros.
    fn push_last(&mut self) {
        let mut block = self.partial;
        block.iter_mut().skip(self.partial_len).for_each(|byte| *byte = 0);
        let length = u64::try_from(self.partial_len).unwrap_or(u64::MAX);
        self.hash = mix(self.hash, length);
        self.push(&block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(prompt: &[u8], max_blocks: u32) -> Chain {
        let mut chainer = Chainer::new(&Seed::default(), max_blocks);
        chainer.update(prompt);
        chainer.finish()
    }

    fn shared(a: &Chain, b: &Chain) -> usize {
        a.hashes.iter().zip(&b.hashes).take_while(|(a, b)| a == b).count()
    }

    #[test]
    fn chains_part_where_the_prompts_do() {
        let head = vec![b'h'; 3 * BLOCK_BYTES];
        let longer = [&head[..], b"and on"].concat();
        assert_eq!(shared(&chain(&head, 99), &chain(&longer, 99)), 3);
        assert_eq!(chain(&longer, 99).blocks, 4);

        let mut other = longer.clone();
        other[BLOCK_BYTES] = b'H';
        assert_eq!(shared(&chain(&longer, 99), &chain(&other, 99)), 1);
    }

    #[test]
    fn a_partial_block_is_not_a_padded_one() {
        let mut padded = b"short".to_vec();
        padded.resize(BLOCK_BYTES, 0);
        assert_eq!(shared(&chain(b"short", 9), &chain(&padded, 9)), 0);
        assert_eq!(shared(&chain(b"short", 9), &chain(b"short\0", 9)), 0);
    }

    #[test]
    fn a_prompt_over_the_limit_is_cut_there() {
        let prompt = vec![b'p'; 40 * BLOCK_BYTES + 7];
        assert_eq!(chain(&prompt, 35), chain(&prompt[..35 * BLOCK_BYTES], 99));
        assert_eq!(chain(&prompt, 35).blocks, 35);
        assert_eq!(chain(&prompt, 0), Chain::default());
    }

    #[test]
    fn media_count_as_tokens_and_tell_each_other_apart() {
        let with = |text: &[u8], identity: &[u8], tokens| {
            let mut chainer = Chainer::new(&Seed::default(), 99);
            chainer.update(text);
            chainer.update_media(identity, tokens);
            chainer.update(b"and then");
            chainer.finish()
        };
        // 3 bytes, 1 to a whole token, 225 tokens and 8 bytes are 3.6 blocks.
        assert_eq!(with(b"abc", b"url", 225).blocks, 4);
        assert_eq!(with(b"abc", b"url", 225), with(b"abc\0", b"url", 225));
        assert_eq!(shared(&with(b"abc", b"url", 225), &with(b"abc", b"other", 225)), 0);
        assert_eq!(with(b"abc", b"url", u32::MAX).blocks, 99);
        assert_eq!(with(b"abc", b"url", 0).blocks, 1);
    }

    /// A medium is its name as often as it has tokens, from a whole token on, wherever it begins.
    #[test]
    fn media_are_their_name_over_and_over() {
        let name = digest_all(0, b"url").to_le_bytes();
        for before in (0..2 * BLOCK_BYTES).step_by(3) {
            for tokens in [0, 1, 2, 63, 64, 65, 225, 1_000] {
                for max_blocks in [2, 3, 99] {
                    let (mut chainer, mut bytes) =
                        (Chainer::new(&Seed::default(), max_blocks), vec![b'x'; before]);
                    chainer.update(&bytes);
                    chainer.update_media(b"url", u32::try_from(tokens).unwrap());
                    chainer.update(b"and then");
                    bytes.resize(before.next_multiple_of(TOKEN_BYTES), 0);
                    bytes.extend(name.iter().cycle().take(tokens * TOKEN_BYTES));
                    bytes.extend(b"and then");
                    let expected = chain(&bytes, max_blocks);
                    assert_eq!(chainer.finish(), expected, "{before} bytes, {tokens} tokens");
                }
            }
        }
    }

    #[test]
    fn each_part_of_the_seed_counts() {
        let seeds = [
            Seed::default(),
            Seed { model: "ab", adapter: "c", ..Seed::default() },
            Seed { model: "a", adapter: "bc", ..Seed::default() },
            Seed { model: "a", cache_salt: "bc", ..Seed::default() },
            Seed { model: "a", tenant: Some("bc"), ..Seed::default() },
            Seed { model: "a", tenant: Some("bd"), ..Seed::default() },
            Seed { model: "a", tenant: Some(""), ..Seed::default() },
            Seed { model: "a", ..Seed::default() },
        ];
        let mut hashes = seeds.map(|seed| seed.hash());
        hashes.sort_unstable();
        assert!(hashes.windows(2).all(|pair| pair[0] != pair[1]), "{hashes:x?}");
    }

    /// However a prompt is cut into pieces, and wherever the limit is.
    #[cfg(not(target_arch = "wasm32"))]
    #[test]
    fn pieces_make_no_difference() {
        arbtest::arbtest(|u| {
            let max_blocks = u.int_in_range(0..=12)?;
            let mut prompt = Vec::new();
            let mut chainer = Chainer::new(&Seed::default(), max_blocks);
            for _ in 0..u.int_in_range(0..=8)? {
                let piece = vec![u.arbitrary()?; u.int_in_range(0..=3 * BLOCK_BYTES)?];
                chainer.update(&piece);
                prompt.extend(piece);
            }
            assert_eq!(chainer.finish(), chain(&prompt, max_blocks));
            Ok(())
        });
    }
}
