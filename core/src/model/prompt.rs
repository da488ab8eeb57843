//! A prompt as a chain of block hashes.

mod chainer;
mod digest;
mod head;
mod order;
mod positions;
mod seal;
mod seed;

pub use chainer::{BLOCKS_MAX, Chainer};
pub use digest::BLOCK_BYTES;
pub(crate) use digest::{digest_all, mix};
pub(crate) use head::HeadPart;
pub use head::{PromptHead, Section};
pub use order::{PromptOrder, ToolsAt};
pub use seed::{PromptKey, Seed};

/// Names a prompt's beginning up to the end of one block: equal for equal bytes of the same model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockHash(pub u64);

/// A prompt, reduced to what the prefix index compares.
///
/// Not every block is kept: all of the first 32, then 16 per doubling, then the last one, of which
/// the hash names the whole prompt. A match is therefore at most 1/16 too short, and 4 MB of prompt
/// are 176 hashes. The position of a block alone decides if it is kept, so the chains of two
/// prompts meet wherever the prompts do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Hashes at the retained positions, from the head. Of a prompt that was used, the last alone.
    pub hashes: Vec<BlockHash>,
    /// Blocks in the prompt, retained or not; a partial block at its end counts as one.
    pub blocks: u32,
}

impl Chain {
    /// True if there is a hash for each retained position and none besides. One that fails this,
    /// which only a damaged message can hold, is not learnt.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        u32::try_from(self.hashes.len()) == Ok(self.retained())
    }

    /// Returns the number of retained positions, of which each has a hash in a whole chain.
    pub(crate) fn retained(&self) -> u32 {
        positions::count(self.blocks)
    }

    /// Returns the chain's last hash alone, which names the whole prompt where its chain is known.
    pub(crate) fn into_tail(mut self) -> Self {
        self.hashes.drain(..self.hashes.len().saturating_sub(1));
        self
    }

    /// Returns the hash of the shortest retained prefix that spans so many blocks.
    pub(crate) fn prefix(&self, blocks: u32) -> Option<BlockHash> {
        // Spans grow along the chain, and most matches end early in a long one.
        let index = (0..self.hashes.len()).find(|index| self.span(*index) >= blocks)?;
        self.hashes.get(index).copied()
    }

    /// Returns the number of blocks in the prefix of hash `hashes[index]`.
    pub(crate) fn span(&self, index: usize) -> u32 {
        Self::span_of(index, self.blocks)
    }

    /// Returns the same for a prompt of so many blocks.
    pub(crate) fn span_of(index: usize, blocks: u32) -> u32 {
        positions::grid(index).min(blocks)
    }
}
