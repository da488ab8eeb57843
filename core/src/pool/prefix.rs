//! The prefix index: which endpoint has which prefix in its cache, as far as placements tell.
//!
//! An endpoint's blocks are kept in the order of their last use, and a placement uses its chain
//! from the tail to the head. So a block is always more recent than whatever was built on it, and
//! eviction, which takes the oldest, takes tails first: an endpoint that holds a block holds all
//! before it. Matches are contiguous for that reason alone, and the holders of a chain's blocks
//! only ever get fewer along it, so that a chain is searched by halving.
//!
//! (The EPP counts every block it meets, which over-counts after holes: EPP: matchLongestPrefix.)

mod holders;
mod lru;
mod matches;

#[cfg(test)]
mod flood;

pub use super::Slot;
pub use matches::Matches;

use std::time::Duration;

use crate::model::{BlockHash, Chain, Instant, TableKey};
use holders::Holders;
use lru::{Lru, Retract, Touch};

/// The prefixes of one pool, as one worker knows them.
#[derive(Clone, Debug)]
pub struct Index {
    holders: Holders,
    lru: Lru,
    max_entries: usize,
}

/// The longest prefix of a prompt that any endpoint holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongestPrefix {
    /// Hash of the prefix.
    pub hash: BlockHash,
    /// Blocks that the prefix spans.
    pub blocks: u32,
}

impl Index {
    /// A default limit on entries. Each takes up to 120 bytes on wasm32, so the index of one worker
    /// stays below 65 MB. It is reached by 134 endpoints of the EPP's 31,250 blocks each when all
    /// prompts are short, and by none below 1,000 when they are long and thinned out.
    pub const ENTRIES_MAX: usize = 1 << 19;

    /// Returns an index that knows nothing, and never more than `max_entries` pairs of endpoint and
    /// retained block. The key is a secret of the worker: clients choose the hashes of blocks.
    #[must_use]
    pub fn new(max_entries: usize, key: TableKey) -> Self {
        Self { holders: Holders::new(key), lru: Lru::new(key), max_entries }
    }

    /// Admits an endpoint, or changes how many blocks of 256 bytes it is believed to cache.
    pub fn admit(&mut self, slot: Slot, capacity: u32) {
        self.lru.admit(slot, capacity);
        self.fit(slot);
    }

    /// Forgets all that an endpoint holds. It learns nothing more until it is admitted again.
    pub fn forget(&mut self, slot: Slot) {
        self.admit(slot, 0);
    }

    /// Forgets what an endpoint used last before this time.
    pub fn forget_before(&mut self, slot: Slot, before: Instant, now: Instant) {
        let kept = now.saturating_since(before);
        let has_older =
            |index: &Self| index.lru.oldest_age(slot, now).is_some_and(|age| age > kept);
        while has_older(self) && self.evict(slot) {}
    }

    /// Sets the time of all uses that are noted from now on.
    pub fn advance(&mut self, now: Instant) {
        self.lru.advance(now);
    }

    /// Returns the time after which an endpoint is expected to evict what it uses now and never again;
    /// `None` if nothing tells. Its oldest block's age, if the cache is full. Until then, the time that
    /// filling the rest takes at the pace so far.
    #[must_use]
    pub fn keeps_for(&self, slot: Slot, now: Instant) -> Option<Duration> {
        let filled = f64::from(self.lru.weight(slot)) / f64::from(self.lru.capacity(slot));
        let age = self.lru.oldest_age(slot, now)?.as_secs_f64();
        Duration::try_from_secs_f64(age / filled).ok()
    }

    /// Notes that an endpoint has, or will soon have, computed a prompt. Of a prompt larger than
    /// its cache it keeps the head. Returns the number of blocks that it did not hold before.
    ///
    /// If that takes the index over its limit, the endpoint with the most entries loses its oldest:
    /// any other rule would let the first endpoints to fill the index starve the rest.
    pub fn learn(&mut self, slot: Slot, chain: &Chain) -> u32 {
        let mut held = 0;
        self.lru.begin();
        let capacity = self.lru.capacity(slot);
        let fits = |index: &usize| chain.span(*index) <= capacity;
        let fitting = (0..chain.hashes.len()).take_while(fits).count();
        // From the tail to the head, so that the head is the most recent and evicted last: any other
        // order would leave a block without those before it.
        for (index, &block) in chain.hashes.iter().enumerate().take(fitting).rev() {
            let before = index.checked_sub(1).map_or(0, |before| chain.span(before));
            let blocks = chain.span(index) - before;
            match self.lru.touch(slot, block, blocks) {
                Touch::Brought => self.holders.add(block, slot),
                Touch::Renewed => held += blocks,
            }
        }
        self.fit(slot);
        if self.lru.len() > self.max_entries
            && let Some(fullest) = self.lru.fullest()
        {
            while self.lru.len() > self.max_entries && self.evict(fullest) {}
        }
        chain.blocks.saturating_sub(held)
    }

    /// Notes that an endpoint has used a prompt just now: what it holds of that is evicted last.
    pub fn renew(&mut self, slot: Slot, chain: &Chain) {
        for &block in chain.hashes.iter().rev() {
            self.lru.renew(slot, block);
        }
    }

    /// Takes back what a placement that failed had brought: from the tail, each block that no
    /// other placement has used since. The order of use stays as the placement made it.
    pub fn withdraw(&mut self, slot: Slot, chain: &Chain) {
        for &block in chain.hashes.iter().rev() {
            match self.lru.retract(slot, block) {
                Retract::Absent => (),
                Retract::Removed => self.holders.remove(block, slot),
                Retract::Shared => break,
            }
        }
    }

    /// Counts the blocks of a prompt that each endpoint holds, from its head.
    pub fn matches(&self, chain: &Chain, matches: &mut Matches) {
        matches.clear(self.lru.slots());
        let mut rest = chain.hashes.as_slice();
        while let Some((block, after)) = rest.split_first() {
            let holders = self.holders.holding(*block);
            if holders.is_empty() {
                return;
            }
            // Holders only get fewer along the chain, so the blocks with as many are a prefix of the
            // rest, and halving finds its end.
            let same =
                after.partition_point(|block| self.holders.holding(*block).len() >= holders.len());
            let (_, deeper) = after.split_at(same);
            let deepest = chain.span(chain.hashes.len() - deeper.len() - 1);
            for slot in holders {
                matches.set(*slot, deepest);
            }
            rest = deeper;
        }
    }

    /// Returns the longest prefix of a prompt that any endpoint holds, if there is one.
    #[must_use]
    pub fn longest(&self, chain: &Chain) -> Option<LongestPrefix> {
        let is_held = |block: &BlockHash| !self.holders.holding(*block).is_empty();
        let last = chain.hashes.partition_point(is_held).checked_sub(1)?;
        let hash = chain.hashes.get(last).copied()?;
        Some(LongestPrefix { hash, blocks: chain.span(last) })
    }

    /// Returns the number of pairs of endpoint and retained block.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.lru.len()
    }

    /// Returns the number of blocks that an endpoint is believed to hold, those between retained
    /// ones counted too.
    #[must_use]
    pub fn blocks(&self, slot: Slot) -> u32 {
        self.lru.weight(slot)
    }

    /// Evicts an endpoint's oldest until it is within its capacity.
    fn fit(&mut self, slot: Slot) {
        while self.lru.weight(slot) > self.lru.capacity(slot) && self.evict(slot) {}
    }

    /// Evicts an endpoint's oldest block, if it has any.
    fn evict(&mut self, slot: Slot) -> bool {
        let oldest: Option<BlockHash> = self.lru.evict(slot);
        oldest.inspect(|block| self.holders.remove(*block, slot)).is_some()
    }
}
