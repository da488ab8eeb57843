//! The result of a lookup.

use crate::pool::Slot;

/// Matched blocks by endpoint. Kept between lookups, so that none of them allocates.
#[derive(Clone, Debug, Default)]
pub struct Matches {
    by_slot: Vec<u32>,
}

impl Matches {
    /// Returns the number of blocks from the prompt's head that the endpoint holds without a gap.
    #[must_use]
    pub fn blocks(&self, slot: Slot) -> u32 {
        self.by_slot.get(slot.index()).copied().unwrap_or(0)
    }

    pub(super) fn clear(&mut self, slots: usize) {
        self.by_slot.clear();
        self.by_slot.resize(slots, 0);
    }

    pub(super) fn set(&mut self, slot: Slot, blocks: u32) {
        if let Some(entry) = self.by_slot.get_mut(slot.index()) {
            *entry = blocks;
        }
    }
}
