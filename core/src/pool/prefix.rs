//! The prefix index: which endpoint has which prefix in its cache, as far as placements tell.
//!
//! An endpoint's blocks are kept in the order of their last use, and a placement uses its chain
//! from the tail to the head. So a block is always more recent than whatever was built on it, and
//! eviction, which takes the oldest, takes tails first: an endpoint that holds a block holds all
//! before it. Matches are contiguous for that reason alone.
//!
//! Blocks that came together and are held alike are one segment (`segments`): a placement costs a look-up
//! for each segment of its chain, however many blocks that has. Each worker takes in the placements of all
//! others, so this is what more workers cost.
//!
//! (The EPP counts every block it meets, which over-counts after holes: EPP: matchLongestPrefix.)

mod amount;
mod holders;
mod ids;
mod lru;
mod matches;
mod segments;

#[cfg(test)]
mod crafted;
#[cfg(test)]
mod flood;

pub use super::Slot;
pub use matches::Matches;

use std::time::Duration;

use crate::model::{BlockHash, Chain, Instant, TableKey};
use amount::HeldAmount;
use holders::Holder;
use ids::SegmentId;
use lru::Lru;
use segments::{ChainPlace, ChainStep, Segment, Segments};

/// The prefixes of one pool, as one worker knows them.
#[derive(Clone, Debug)]
pub struct Index {
    segments: Segments,
    lru: Lru,
    /// Pairs of endpoint and retained block.
    entries: usize,
    max_entries: usize,
    /// Empty between uses, kept for its allocated memory.
    path: Vec<ChainStep>,
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
    /// A default limit on entries. Each takes up to 120 bytes on wasm32 where chains part at every block, so the
    /// index of one worker stays below 65 MB. It is reached by 17 endpoints of the EPP's 31,250 blocks each when
    /// all prompts are short, and by none below 1,000 when they are long and thinned out.
    pub const ENTRIES_MAX: usize = 1 << 19;

    /// Returns an index that knows nothing, and never more than `max_entries` pairs of endpoint and
    /// retained block. The key is a secret of the worker: clients choose the hashes of blocks.
    #[must_use]
    pub fn new(max_entries: usize, key: TableKey) -> Self {
        let (segments, lru) = (Segments::new(key), Lru::default());
        Self { segments, lru, entries: 0, max_entries, path: Vec::new() }
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
        while has_older(self) && self.evict(slot, |_| false) {}
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
        let filled = f64::from(self.lru.blocks(slot)) / f64::from(self.lru.capacity(slot));
        let age = self.lru.oldest_age(slot, now)?.as_secs_f64();
        Duration::try_from_secs_f64(age / filled).ok()
    }

    /// Notes that an endpoint has, or will soon have, computed a prompt. Of a prompt larger than
    /// its cache it keeps the head. Returns the number of blocks that it did not hold before.
    ///
    /// If that takes the index over its limit, the endpoint with the most entries loses its oldest:
    /// any other rule would let the first endpoints to fill the index starve the rest.
    pub fn learn(&mut self, slot: Slot, chain: &Chain) -> u32 {
        self.lru.begin();
        let mut path = std::mem::take(&mut self.path);
        let fitting = self.fitting(slot, chain);
        let behind = self.cut_along(slot, fitting, &mut path);
        // From the tail to the head, so that the head is the most recent and evicted last: any other
        // order would leave a block without those before it.
        if let Some(rest @ [_, ..]) = fitting.get(behind.start as usize..) {
            self.bring(slot, Segment::new(slot, rest, behind, chain.blocks));
        }
        let held: u32 = path.drain(..).rev().map(|step| self.touch(slot, step.id)).sum();
        self.path = path;
        self.fit(slot);
        if self.entries > self.max_entries
            && let Some(fullest) = self.lru.fullest()
        {
            while let Some(surplus @ 1..) = self.entries.checked_sub(self.max_entries)
                && self.evict(fullest, |gone| gone.hashes as usize >= surplus)
            {}
        }
        chain.blocks.saturating_sub(held)
    }

    /// Notes that an endpoint has used a prompt just now: what it holds of that is evicted last. The prompt's
    /// last hash says which it is; one of which that is evicted is not renewed.
    pub fn renew(&mut self, slot: Slot, chain: &Chain) {
        let Some(tail) = chain.hashes.last() else { return };
        for segment in self.segments.up_from(*tail, chain.retained()) {
            if let Some(holder) = segment.holders.get(slot) {
                self.lru.renew(holder.holding);
            }
        }
    }

    /// Takes back what a placement that failed had brought: from the tail, each block that no
    /// other placement has used since. The order of use stays as the placement made it.
    pub fn withdraw(&mut self, slot: Slot, chain: &Chain) {
        let mut path = self.path_of(slot, chain);
        for ChainStep { id, common } in path.drain(..).rev() {
            let Some(&Holder { held, holding, .. }) = self.holder(slot, id) else { continue };
            if held > common || self.lru.is_shared(holding) {
                break;
            }
            self.release(slot, id);
        }
        self.path = path;
    }

    /// Counts the blocks of a prompt that each endpoint holds, from its head.
    pub fn matches(&self, chain: &Chain, matches: &mut Matches) {
        matches.clear(self.lru.slots());
        for (ChainStep { common, .. }, segment) in self.segments.along(&chain.hashes) {
            let (before, whole) = (segment.depth(0), segment.depth(common));
            for holder in segment.holders.as_slice() {
                let blocks = if holder.held < common { segment.depth(holder.held) } else { whole };
                // None that has lost what comes before.
                if matches.blocks(holder.slot) == before {
                    matches.set(holder.slot, blocks);
                }
            }
        }
    }

    /// Returns the longest prefix of a prompt that any endpoint holds, if there is one.
    #[must_use]
    pub fn longest(&self, chain: &Chain) -> Option<LongestPrefix> {
        // Of each segment some endpoint holds all.
        let held: u32 = self.segments.along(&chain.hashes).map(|(step, _)| step.common).sum();
        let last = (held as usize).checked_sub(1)?;
        let hash = chain.hashes.get(last).copied()?;
        Some(LongestPrefix { hash, blocks: chain.span(last) })
    }

    /// Returns the number of pairs of endpoint and retained block.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// Returns the number of blocks that an endpoint is believed to hold, those between retained
    /// ones counted too.
    #[must_use]
    pub fn blocks(&self, slot: Slot) -> u32 {
        self.lru.blocks(slot)
    }

    /// Returns the part of a chain that is no larger than the endpoint's cache.
    fn fitting<'a>(&self, slot: Slot, chain: &'a Chain) -> &'a [BlockHash] {
        let capacity = self.lru.capacity(slot);
        if chain.blocks <= capacity {
            return &chain.hashes;
        }
        let fits = |index: &usize| chain.span(*index) <= capacity;
        let fitting = (0..chain.hashes.len()).take_while(fits).count();
        chain.hashes.get(..fitting).unwrap_or_default()
    }

    /// Returns the segments along a chain that the endpoint holds anything of.
    fn path_of(&mut self, slot: Slot, chain: &Chain) -> Vec<ChainStep> {
        let mut path = std::mem::take(&mut self.path);
        let along = self.segments.along(&chain.hashes);
        let held = along.filter(|(_, segment)| segment.holders.get(slot).is_some());
        path.extend(held.map(|(step, _)| step));
        path
    }

    /// Cuts the segments along a chain, so that each is the chain's as a whole, and held by the endpoint as a
    /// whole or not at all. Returns the place of what there is no segment for.
    fn cut_along(
        &mut self,
        slot: Slot,
        hashes: &[BlockHash],
        path: &mut Vec<ChainStep>,
    ) -> ChainPlace {
        let mut behind = ChainPlace::default();
        while let Some(rest) = hashes.get(behind.start as usize..)
            && let Some((ChainStep { id, common }, segment)) =
                self.segments.next(rest, behind.start)
        {
            let held = segment.holders.get(slot).map_or(common, |holder| holder.held);
            let end = common.min(held);
            let cut = if end < segment.len() { self.cut(id, end) } else { None };
            let id = cut.unwrap_or(id);
            path.push(ChainStep { id, common: end });
            behind = ChainPlace { start: behind.start + end, before: id };
        }
        behind
    }

    /// Cuts a segment in two. Returns the id of the front.
    fn cut(&mut self, id: SegmentId, at: u32) -> Option<SegmentId> {
        let front = self.segments.cut(id, at)?;
        let rear = self.segments.get(id)?.holders.clone();
        for holder in self.segments.get_mut(front)?.holders.as_mut_slice() {
            if rear.get(holder.slot).is_some() {
                holder.holding = self.lru.cut(holder.holding, front);
            } else {
                self.lru.move_to(holder.holding, front);
            }
        }
        Some(front)
    }

    /// Has an endpoint hold hashes of which there was no segment yet.
    fn bring(&mut self, slot: Slot, segment: Segment) {
        let size = segment.size(segment.len());
        let id = self.segments.insert(segment);
        let holding = self.lru.bring(slot, id, size);
        let segment = self.segments.get_mut(id);
        let holder = segment.and_then(|segment| segment.holders.get_mut(slot));
        holder.into_iter().for_each(|holder| holder.holding = holding);
        self.entries += size.hashes as usize;
    }

    /// Has an endpoint use a whole segment. Returns the blocks of it that the endpoint held before: all or none.
    fn touch(&mut self, slot: Slot, id: SegmentId) -> u32 {
        let Some(segment) = self.segments.get_mut(id) else { return 0 };
        let size = segment.size(segment.len());
        if let Some(holder) = segment.holders.get(slot) {
            self.lru.touch(holder.holding);
            return size.blocks;
        }
        let holding = self.lru.bring(slot, id, size);
        segment.holders.add(Holder { slot, held: size.hashes, holding });
        self.entries += size.hashes as usize;
        0
    }

    fn holder(&self, slot: Slot, id: SegmentId) -> Option<&Holder> {
        self.segments.get(id)?.holders.get(slot)
    }

    /// Takes a segment off an endpoint.
    fn release(&mut self, slot: Slot, id: SegmentId) {
        let Some(segment) = self.segments.get(id) else { return };
        let Some(&Holder { held, holding, .. }) = segment.holders.get(slot) else { return };
        self.lru.remove(holding, segment.size(held));
        self.segments.release(id, slot);
        self.entries = self.entries.saturating_sub(held as usize);
    }

    /// Evicts an endpoint's oldest until it is within its capacity.
    fn fit(&mut self, slot: Slot) {
        while let Some(surplus @ 1..) = self.lru.blocks(slot).checked_sub(self.lru.capacity(slot))
            && self.evict(slot, |gone| gone.blocks >= surplus)
        {}
    }

    /// Evicts the tail of what an endpoint used least recently: block by block until that is enough, or the whole
    /// segment. False if the endpoint has none.
    fn evict(&mut self, slot: Slot, is_enough: impl Fn(HeldAmount) -> bool) -> bool {
        let Some(id) = self.lru.oldest(slot) else { return false };
        let Some(segment) = self.segments.get(id) else { return false };
        let Some(&Holder { held, .. }) = segment.holders.get(slot) else { return false };
        let blocks = segment.depth(held);
        let gone = |left| HeldAmount { hashes: held - left, blocks: blocks - segment.depth(left) };
        match (1..held).rev().find(|left| is_enough(gone(*left))) {
            Some(left) => {
                let gone = gone(left);
                self.segments.shorten(id, slot, left);
                self.lru.shrink(slot, gone);
                self.entries = self.entries.saturating_sub(gone.hashes as usize);
            }
            None => self.release(slot, id),
        }
        true
    }
}
