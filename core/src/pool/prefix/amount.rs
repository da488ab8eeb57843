//! An amount of what an endpoint holds.

/// Hashes that an endpoint holds, and the blocks that they stand for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HeldAmount {
    pub(super) hashes: u32,
    /// Blocks that the hashes span, those between retained ones too.
    pub(super) blocks: u32,
}
