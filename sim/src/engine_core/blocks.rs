//! The KV cache: blocks that live requests hold, and free blocks that still remember a prefix.

use std::collections::{BTreeMap, HashMap};

/// Index of a block.
pub type BlockId = usize;

#[derive(Clone, Debug, Default)]
struct Block {
    /// Hash of the content, once the block is full and published.
    hash: Option<u64>,
    users: u32,
    /// Place in the free list while the block has no users.
    freed: u64,
}

/// All blocks of one engine. As in vLLM, block 0 is the null block and never handed out.
#[derive(Debug)]
pub struct BlockPool {
    blocks: Vec<Block>,
    /// Free blocks, least recently freed first: the order of eviction.
    free: BTreeMap<u64, BlockId>,
    /// Published blocks by hash; a second copy of the same block is not published.
    published: HashMap<u64, BlockId>,
    clock: u64,
}

impl BlockPool {
    /// Returns a pool of `count` blocks, one of which is the null block.
    #[must_use]
    pub fn new(count: usize) -> Self {
        let free: BTreeMap<u64, BlockId> = (1..count).map(|id| (id as u64, id)).collect();
        let mut blocks = vec![Block::default(); count];
        for (id, block) in blocks.iter_mut().enumerate() {
            block.freed = id as u64;
        }
        Self { blocks, free, published: HashMap::new(), clock: count as u64 }
    }

    /// Returns the number of blocks that can be handed out at all.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.blocks.len().saturating_sub(1)
    }

    /// Returns the number of blocks that no live request holds; they may remember a prefix.
    #[must_use]
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Returns the number of blocks that live requests hold, counted one by one: `free + live =
    /// total` is a law.
    #[must_use]
    pub fn live(&self) -> usize {
        self.blocks.iter().filter(|block| block.users > 0).count()
    }

    /// Returns the published blocks of the longest prefix of `hashes` that is here.
    #[must_use]
    pub fn find(&self, hashes: &[u64]) -> Vec<BlockId> {
        hashes.iter().map_while(|hash| self.published.get(hash).copied()).collect()
    }

    /// Takes `found` and `fresh` new blocks for one request, or none at all if they don't fit.
    pub fn acquire(&mut self, found: &[BlockId], fresh: usize) -> Option<Vec<BlockId>> {
        let revived = found.iter().filter(|id| self.users(**id) == 0).count();
        if revived + fresh > self.free.len() {
            return None;
        }
        for id in found {
            if let Some(block) = self.blocks.get_mut(*id) {
                self.free.remove(&block.freed);
                block.users += 1;
            }
        }
        let mut taken = found.to_vec();
        taken.extend((0..fresh).map_while(|_| self.evict()));
        Some(taken)
    }

    /// Makes a full block findable under its hash.
    pub fn publish(&mut self, id: BlockId, hash: u64) {
        if self.published.contains_key(&hash) {
            return;
        }
        if let Some(block) = self.blocks.get_mut(id) {
            block.hash = Some(hash);
            self.published.insert(hash, id);
        }
    }

    /// Takes a request's blocks back, in the request's order. The tail is freed first and so
    /// evicted first: a prefix outlives what followed it.
    pub fn release(&mut self, blocks: &[BlockId]) {
        for id in blocks.iter().rev() {
            let Some(block) = self.blocks.get_mut(*id) else { continue };
            block.users = block.users.saturating_sub(1);
            if block.users == 0 {
                block.freed = self.clock;
                self.free.insert(self.clock, *id);
                self.clock += 1;
            }
        }
    }

    fn evict(&mut self) -> Option<BlockId> {
        let (_, id) = self.free.pop_first()?;
        let block = self.blocks.get_mut(id)?;
        block.users = 1;
        if let Some(hash) = block.hash.take() {
            self.published.remove(&hash);
        }
        Some(id)
    }

    fn users(&self, id: BlockId) -> u32 {
        self.blocks.get(id).map_or(0, |block| block.users)
    }
}

#[cfg(test)]
mod tests {
    use super::BlockPool;

    #[test]
    fn the_tail_of_a_released_request_is_evicted_first() {
        let mut pool = BlockPool::new(4);
        let held = pool.acquire(&[], 3).unwrap();
        for (id, hash) in held.iter().zip([11, 12, 13]) {
            pool.publish(*id, hash);
        }
        pool.release(&held);
        assert_eq!(pool.find(&[11, 12, 13]).len(), 3);
        let other = pool.acquire(&[], 1).unwrap();
        assert_eq!(pool.find(&[11, 12, 13]).len(), 2);
        assert_eq!((pool.free(), pool.live()), (2, other.len()));
    }

    #[test]
    fn shared_blocks_are_live_until_the_last_user_leaves() {
        let mut pool = BlockPool::new(4);
        let first = pool.acquire(&[], 1).unwrap();
        pool.publish(first[0], 11);
        let second = pool.acquire(&pool.find(&[11]), 1).unwrap();
        assert_eq!(pool.live(), 2);
        assert!(pool.acquire(&[], 2).is_none());
        pool.release(&first);
        assert_eq!(pool.live(), 2);
        pool.release(&second);
        assert_eq!(pool.free(), 3);
    }
}
