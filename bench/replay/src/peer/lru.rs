//! A cache of blocks that forgets the least recently used.

use std::collections::{BTreeMap, HashMap};

/// Blocks in the order of their last use. A prompt uses its blocks from the tail to the head, so
/// that tails are forgotten before what they were built on.
#[derive(Debug)]
pub(crate) struct Lru {
    capacity: usize,
    stamps: HashMap<u64, u64>,
    by_stamp: BTreeMap<u64, u64>,
    clock: u64,
}

impl Lru {
    /// Returns an empty cache of so many blocks.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, stamps: HashMap::new(), by_stamp: BTreeMap::new(), clock: 0 }
    }

    /// Returns the number of blocks in the cache.
    pub(crate) fn len(&self) -> usize {
        self.stamps.len()
    }

    /// Returns how many of these blocks are there, from the first, without a gap.
    pub(crate) fn matched(&self, blocks: &[u64]) -> usize {
        blocks.iter().take_while(|block| self.stamps.contains_key(block)).count()
    }

    /// Uses these blocks, and forgets the oldest beyond the capacity.
    pub(crate) fn learn(&mut self, blocks: &[u64]) {
        for &block in blocks.iter().rev() {
            self.clock += 1;
            if let Some(before) = self.stamps.insert(block, self.clock) {
                self.by_stamp.remove(&before);
            }
            self.by_stamp.insert(self.clock, block);
        }
        while self.stamps.len() > self.capacity {
            let Some((_, oldest)) = self.by_stamp.pop_first() else { return };
            self.stamps.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_forgotten_first() {
        let mut lru = Lru::new(3);
        lru.learn(&[1, 2, 3]);
        lru.learn(&[9]);
        assert_eq!((lru.matched(&[1, 2, 3]), lru.matched(&[9]), lru.len()), (2, 1, 3));
    }

    #[test]
    fn a_match_has_no_gap() {
        let mut lru = Lru::new(8);
        lru.learn(&[1]);
        lru.learn(&[3]);
        assert_eq!(lru.matched(&[1, 2, 3]), 1);
    }
}
