//! A prompt as a chain of block hashes.

/// Names a prompt's beginning up to the end of one block: equal for equal bytes of the same model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockHash(pub u64);

/// A prompt, reduced to what the prefix index compares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Hashes at the retained positions, from the head.
    pub hashes: Vec<BlockHash>,
    /// Whole blocks in the prompt, retained or not.
    pub blocks: u32,
}
