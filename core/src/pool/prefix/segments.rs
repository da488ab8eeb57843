//! Chains, cut into segments where they part.
//!
//! A segment is a run of hashes that its holders hold alike: where chains part, where one ends, and where an
//! endpoint has lost the rest, it is cut. So a prompt of any length costs as many look-ups as it has met
//! others, and not as many as it has blocks. A segment is found by its first hash, on the way along a chain, and
//! by its last, which names a whole prompt.

use hashbrown::{HashTable, hash_table::Entry};

use super::{
    amount::HeldAmount,
    holders::{Holder, Holders, Left},
    ids::{NOWHERE, SegmentId},
};
use crate::{
    model::{BlockHash, Chain, TableKey},
    pool::Slot,
};

/// All segments that some endpoint holds.
#[derive(Clone, Debug)]
pub(super) struct Segments {
    slab: Vec<Option<Segment>>,
    vacant: Vec<SegmentId>,
    by_first: HashTable<SegmentId>,
    by_last: HashTable<SegmentId>,
    key: TableKey,
}

/// A run of hashes of some chains.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// As many as the holder of the most holds; at least one.
    hashes: Vec<BlockHash>,
    /// Hashes of its chains in front of it.
    start: u32,
    /// The segment in front of it, while that is held.
    before: SegmentId,
    /// Blocks of the prompt that brought it, where its last hash may stand for a part of a block.
    blocks: u32,
    pub(super) holders: Holders,
}

/// A segment on the way along a chain.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChainStep {
    pub(super) id: SegmentId,
    /// Hashes of the segment that are the chain's, at least one.
    pub(super) common: u32,
}

/// The end of a segment by which a table finds it: a hash, and its place in the chain.
type SegmentEnd = (BlockHash, u32);

impl Segments {
    pub(super) const fn new(key: TableKey) -> Self {
        Self {
            slab: Vec::new(),
            vacant: Vec::new(),
            by_first: HashTable::new(),
            by_last: HashTable::new(),
            key,
        }
    }

    pub(super) fn get(&self, id: SegmentId) -> Option<&Segment> {
        get(&self.slab, id)
    }

    pub(super) fn get_mut(&mut self, id: SegmentId) -> Option<&mut Segment> {
        self.slab.get_mut(id as usize)?.as_mut()
    }

    /// Returns the segments along a chain of these hashes, as far as there are any.
    pub(super) fn along(
        &self,
        hashes: &[BlockHash],
    ) -> impl Iterator<Item = (ChainStep, &Segment)> {
        let (mut start, mut rest) = (0, hashes);
        std::iter::from_fn(move || {
            let (step, segment) = self.next(rest, start)?;
            let is_whole = step.common == segment.len();
            rest = if is_whole { rest.get(step.common as usize..)? } else { &[] };
            start += step.common;
            Some((step, segment))
        })
    }

    /// Returns the segment with which these hashes of a chain begin, behind `start` others.
    pub(super) fn next(&self, rest: &[BlockHash], start: u32) -> Option<(ChainStep, &Segment)> {
        let end = (*rest.first()?, start);
        let is_it = |id: &SegmentId| self.get(*id).is_some_and(|it| it.first() == end);
        let id = *self.by_first.find(place(self.key, end), is_it)?;
        let segment = self.get(id)?;
        Some((ChainStep { id, common: segment.common(rest) }, segment))
    }

    /// Returns the segments of a prompt of so many hashes, of which this is the last, from its tail to its head.
    /// None unless a segment ends there.
    pub(super) fn up_from(&self, last: BlockHash, hashes: u32) -> impl Iterator<Item = &Segment> {
        let end = (last, hashes);
        let is_it = |id: &SegmentId| self.get(*id).is_some_and(|it| it.last() == end);
        let tail = self.by_last.find(place(self.key, end), is_it);
        let mut next = tail.and_then(|id| self.get(*id));
        std::iter::from_fn(move || {
            let segment = next?;
            let before = self.get(segment.before);
            next = before.filter(|before| before.start + before.len() == segment.start);
            Some(segment)
        })
    }

    /// Adds a segment. Returns its id.
    pub(super) fn insert(&mut self, segment: Segment) -> SegmentId {
        let id = if let Some(id) = self.vacant.pop()
            && let Some(place) = self.slab.get_mut(id as usize)
        {
            *place = Some(segment);
            id
        } else {
            let id = SegmentId::try_from(self.slab.len()).unwrap_or(NOWHERE);
            debug_assert_ne!(id, NOWHERE, "the index's limit is far below");
            self.slab.push(Some(segment));
            id
        };
        self.list_first(id);
        self.list_last(id);
        id
    }

    /// Cuts a segment in two. Its first `at` hashes become a segment of their own, with the holders of it that
    /// hold no more. Returns its id.
    pub(super) fn cut(&mut self, id: SegmentId, at: u32) -> Option<SegmentId> {
        self.unlist_first(id);
        let front = self.get_mut(id)?.split_front(at);
        // What comes behind it stays behind the rest, which has the same id.
        let front = self.insert(front);
        self.get_mut(id)?.before = front;
        self.list_first(id);
        Some(front)
    }

    /// Takes a segment's holder off, and with the last one the segment.
    pub(super) fn release(&mut self, id: SegmentId, slot: Slot) {
        let Some(segment) = self.get_mut(id) else { return };
        if segment.holders.remove(slot) == Left::Some {
            return self.trim(id);
        }
        self.unlist_first(id);
        self.unlist_last(id);
        if let Some(place) = self.slab.get_mut(id as usize) {
            *place = None;
            self.vacant.push(id);
        }
    }

    /// Leaves an endpoint this many hashes of a segment, at least one, where it holds more.
    pub(super) fn shorten(&mut self, id: SegmentId, slot: Slot, left: u32) {
        let Some(segment) = self.get_mut(id) else { return };
        let Some(holder) = segment.holders.get_mut(slot).filter(|it| it.held > left) else {
            return;
        };
        holder.held = left.max(1);
        self.trim(id);
    }

    /// Drops the hashes of a segment that no endpoint holds any more.
    fn trim(&mut self, id: SegmentId) {
        let Some(segment) = self.get(id) else { return };
        let len = segment.len();
        if segment.holders.as_slice().iter().any(|holder| holder.held == len) {
            return;
        }
        self.unlist_last(id);
        if let Some(segment) = self.get_mut(id) {
            segment.truncate();
        }
        self.list_last(id);
    }

    fn list_first(&mut self, id: SegmentId) {
        let (key, slab) = (self.key, &self.slab);
        list(&mut self.by_first, id, key, |id| get(slab, id).map(Segment::first));
    }

    fn list_last(&mut self, id: SegmentId) {
        let (key, slab) = (self.key, &self.slab);
        list(&mut self.by_last, id, key, |id| get(slab, id).map(Segment::last));
    }

    fn unlist_first(&mut self, id: SegmentId) {
        let number = self.get(id).map_or(0, |it| place(self.key, it.first()));
        if let Ok(found) = self.by_first.find_entry(number, |other| *other == id) {
            found.remove();
        }
    }

    fn unlist_last(&mut self, id: SegmentId) {
        let number = self.get(id).map_or(0, |it| place(self.key, it.last()));
        if let Ok(found) = self.by_last.find_entry(number, |other| *other == id) {
            found.remove();
        }
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = &Segment> {
        self.slab.iter().flatten()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_first.is_empty() && self.by_last.is_empty() && self.iter().next().is_none()
    }

    /// Returns the number of segments that are found by each end.
    #[cfg(test)]
    pub(super) fn listed(&self) -> [usize; 2] {
        [self.by_first.len(), self.by_last.len()]
    }

    /// Returns the steps by which the tables find a segment of one hash that is a whole prompt.
    #[cfg(test)]
    pub(super) fn steps(&self, only: BlockHash) -> usize {
        let (first, last) = ((only, 0), (only, 1));
        let begins = |id: &SegmentId| self.get(*id).is_some_and(|it| it.first() == first);
        let ends = |id: &SegmentId| self.get(*id).is_some_and(|it| it.last() == last);
        super::flood::steps(&self.by_first, place(self.key, first), begins)
            + super::flood::steps(&self.by_last, place(self.key, last), ends)
    }
}

impl Segment {
    /// Makes a segment of hashes of a prompt of so many blocks, behind `start` others that end with the segment
    /// `before`, for an endpoint that has no entry of it yet.
    pub(super) fn new(slot: Slot, hashes: &[BlockHash], behind: ChainPlace, blocks: u32) -> Self {
        let held = u32::try_from(hashes.len()).unwrap_or(u32::MAX);
        let holders = Holders::One(Holder { slot, held, holding: NOWHERE });
        let ChainPlace { start, before } = behind;
        Self { hashes: hashes.to_vec(), start, before, blocks, holders }
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.hashes.len()).unwrap_or(u32::MAX)
    }

    /// Counts the hashes that a chain of which these are left has in common with the segment. The first is.
    fn common(&self, rest: &[BlockHash]) -> u32 {
        let shared = self.hashes.len().min(rest.len());
        let is_same = |at: usize| self.hashes.get(at) == rest.get(at);
        // Each hash is one over all before it, so what is the same is so from the first on. Most often all is.
        let (mut same, mut other) = (1, shared);
        if is_same(shared.saturating_sub(1)) {
            same = shared;
        }
        while same < other {
            let middle = same.midpoint(other);
            if is_same(middle) {
                same = middle + 1;
            } else {
                other = middle;
            }
        }
        u32::try_from(same).unwrap_or(u32::MAX)
    }

    /// Counts the prompt's blocks up to and with this many hashes of the segment.
    pub(super) fn depth(&self, hashes: u32) -> u32 {
        let last = (self.start + hashes).checked_sub(1);
        last.map_or(0, |last| Chain::span_of(last as usize, self.blocks))
    }

    /// Returns the size of this many hashes of the segment.
    pub(super) fn size(&self, hashes: u32) -> HeldAmount {
        HeldAmount { hashes, blocks: self.depth(hashes).saturating_sub(self.depth(0)) }
    }

    /// Splits off the first `at` hashes, for holders with entries that are still those of the rest.
    fn split_front(&mut self, at: u32) -> Self {
        let rest = self.hashes.split_off(self.hashes.len().min(at as usize));
        let mut hashes = std::mem::replace(&mut self.hashes, rest);
        shrink(&mut hashes);
        let holders = self.holders.split_front(at);
        let front = Self { hashes, holders, ..*self };
        self.start += at;
        front
    }

    fn truncate(&mut self) {
        self.hashes.truncate(self.holders.longest() as usize);
        shrink(&mut self.hashes);
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.hashes.capacity()
    }

    /// Counts the hashes that endpoints hold, those of each by themselves.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.holders.as_slice().iter().map(|holder| holder.held as usize).sum()
    }

    fn first(&self) -> SegmentEnd {
        (self.hashes.first().copied().unwrap_or(BlockHash(0)), self.start)
    }

    fn last(&self) -> SegmentEnd {
        (self.hashes.last().copied().unwrap_or(BlockHash(0)), self.start + self.len())
    }
}

/// The place of a segment in its chains.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChainPlace {
    /// Hashes in front of it.
    pub(super) start: u32,
    /// The segment in front of it.
    pub(super) before: SegmentId,
}

impl Default for ChainPlace {
    fn default() -> Self {
        Self { start: 0, before: NOWHERE }
    }
}

/// Lists a segment by one of its ends. Only a client that makes hashes meet has two segments with one end. The later takes
/// the place of the other, which is found no more and evicted in time: a table with both would be searched through all
/// that such a client makes.
fn list(
    table: &mut HashTable<SegmentId>,
    id: SegmentId,
    key: TableKey,
    end: impl Fn(SegmentId) -> Option<SegmentEnd>,
) {
    let own = end(id);
    let number = |id: &SegmentId| end(*id).map_or(0, |end| place(key, end));
    match table.entry(number(&id), |other| end(*other) == own, number) {
        Entry::Occupied(mut listed) => *listed.get_mut() = id,
        Entry::Vacant(room) => {
            room.insert(id);
        }
    }
}

/// Gives memory back: what is left of a long prompt does not keep that prompt's.
fn shrink(hashes: &mut Vec<BlockHash>) {
    if hashes.capacity() > 2 * hashes.len() {
        hashes.shrink_to_fit();
    }
}

fn get(slab: &[Option<Segment>], id: SegmentId) -> Option<&Segment> {
    slab.get(id as usize)?.as_ref()
}

/// Returns the table's hash of the end of a segment: its hash, moved by its place in the chain. The factor is 2^64
/// over the golden ratio, which spreads small numbers over all bits.
fn place(key: TableKey, (hash, at): SegmentEnd) -> u64 {
    key.position(hash.0) ^ u64::from(at).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
