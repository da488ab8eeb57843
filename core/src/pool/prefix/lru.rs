//! The blocks of each endpoint in the order of their last use.

use std::time::Duration;

use hashbrown::HashTable;

use crate::{
    model::{BlockHash, Instant, TableKey},
    pool::Slot,
};

/// All endpoints' blocks: one slab of entries, threaded by one list per endpoint, and a table that
/// finds an entry by endpoint and block.
#[derive(Clone, Debug)]
pub(super) struct Lru {
    entries: Vec<CachedBlock>,
    vacant: Vec<EntryId>,
    found: HashTable<EntryId>,
    key: TableKey,
    lists: Vec<List>,
    /// Number of the latest placement, which starts anew after 2^32.
    placement: u32,
    /// Time of the uses that are noted now.
    now: Millis,
}

/// Milliseconds since an epoch of their own, which start anew after 49 days. An entry has no room for
/// more, and one that is older is taken for younger, which errs to the careful side.
type Millis = u32;

/// A place in the slab.
type EntryId = u32;

/// No entry: past the end of any slab, so that looking it up finds nothing.
const NONE: EntryId = EntryId::MAX;

#[derive(Clone, Copy, Debug)]
struct CachedBlock {
    block: BlockHash,
    slot: Slot,
    /// True if more than one placement used it.
    shared: bool,
    /// The placement that used it last.
    used_by: u32,
    /// Time of its last use.
    used_at: Millis,
    /// Blocks from the retained one before it up to this one.
    weight: u32,
    newer: EntryId,
    older: EntryId,
}

/// The entries of one endpoint.
#[derive(Clone, Copy, Debug)]
struct List {
    newest: EntryId,
    oldest: EntryId,
    len: usize,
    /// Blocks, not above the capacity once a change is complete.
    weight: u32,
    capacity: u32,
}

impl List {
    const EMPTY: Self = Self { newest: NONE, oldest: NONE, len: 0, weight: 0, capacity: 0 };
}

/// The effect of a use of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touch {
    /// The endpoint did not hold it.
    Brought,
    /// The endpoint held it already.
    Renewed,
}

/// The outcome of a block that one placement gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retract {
    /// The endpoint did not hold it any more.
    Absent,
    /// No other placement had used it.
    Removed,
    /// Another placement counts on it.
    Shared,
}

impl Lru {
    pub(super) const fn new(key: TableKey) -> Self {
        Self {
            entries: Vec::new(),
            vacant: Vec::new(),
            found: HashTable::new(),
            key,
            lists: Vec::new(),
            placement: 0,
            now: 0,
        }
    }

    pub(super) fn admit(&mut self, slot: Slot, capacity: u32) {
        if self.lists.len() <= slot.index() {
            self.lists.resize(slot.index() + 1, List::EMPTY);
        }
        if let Some(list) = self.lists.get_mut(slot.index()) {
            list.capacity = capacity;
        }
    }

    /// Starts a placement: the blocks touched from now on are one chain, from its tail.
    pub(super) fn begin(&mut self) {
        self.placement = self.placement.wrapping_add(1);
    }

    /// Sets the time of all uses from now on.
    pub(super) fn advance(&mut self, now: Instant) {
        self.now = millis(now);
    }

    /// Returns the time since the endpoint last used its oldest block; `None` if it has none.
    pub(super) fn oldest_age(&self, slot: Slot, now: Instant) -> Option<Duration> {
        let oldest = self.entry(self.list(slot).oldest)?;
        let age = millis(now).wrapping_sub(oldest.used_at);
        // An event of another worker may be of a later moment than this pick's.
        let age = if age > Millis::MAX / 2 { 0 } else { age };
        Some(Duration::from_millis(age.into()))
    }

    /// Makes a block the endpoint's newest, if the endpoint holds it.
    pub(super) fn renew(&mut self, slot: Slot, block: BlockHash) {
        let used_at = self.now;
        if let Some(id) = self.find(slot, block) {
            self.unlink(id);
            self.link(id);
            if let Some(entry) = self.entry_mut(id) {
                entry.used_at = used_at;
            }
        }
    }

    /// Makes a block the endpoint's newest, and has the endpoint hold it.
    pub(super) fn touch(&mut self, slot: Slot, block: BlockHash, weight: u32) -> Touch {
        let (used_by, used_at) = (self.placement, self.now);
        if let Some(id) = self.find(slot, block) {
            self.unlink(id);
            self.link(id);
            if let Some(entry) = self.entry_mut(id) {
                (entry.shared, entry.used_by, entry.used_at) = (true, used_by, used_at);
            }
            return Touch::Renewed;
        }
        let entry = CachedBlock {
            block,
            slot,
            shared: false,
            used_by,
            used_at,
            weight,
            newer: NONE,
            older: NONE,
        };
        let id = self.store(entry);
        self.link(id);
        let (key, entries) = (self.key, &self.entries);
        let place = |id: &EntryId| {
            entries.get(*id as usize).map_or(0, |entry| place(key, entry.slot, entry.block))
        };
        self.found.insert_unique(place(&id), id, place);
        Touch::Brought
    }

    /// Removes the endpoint's oldest block and names it.
    pub(super) fn evict(&mut self, slot: Slot) -> Option<BlockHash> {
        let oldest = self.list(slot).oldest;
        let block = self.entry(oldest)?.block;
        self.remove(oldest);
        Some(block)
    }

    /// Removes a block that only one placement has used, and that nothing held is built on. What is
    /// built on it came in the same placement, which makes it the next older: after an eviction the
    /// one that brought the block anew need not be the one that gives it back.
    pub(super) fn retract(&mut self, slot: Slot, block: BlockHash) -> Retract {
        let Some(id) = self.find(slot, block) else { return Retract::Absent };
        let Some(&CachedBlock { shared, used_by, older, .. }) = self.entry(id) else {
            return Retract::Absent;
        };
        if shared || self.entry(older).is_some_and(|older| older.used_by == used_by) {
            return Retract::Shared;
        }
        self.remove(id);
        Retract::Removed
    }

    /// Entries of all endpoints.
    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    /// Returns one above the highest slot ever admitted.
    pub(super) fn slots(&self) -> usize {
        self.lists.len()
    }

    pub(super) fn weight(&self, slot: Slot) -> u32 {
        self.list(slot).weight
    }

    pub(super) fn capacity(&self, slot: Slot) -> u32 {
        self.list(slot).capacity
    }

    /// Returns the endpoint with the most entries.
    pub(super) fn fullest(&self) -> Option<Slot> {
        let (slot, _) = self.lists.iter().enumerate().max_by_key(|(_, list)| list.len)?;
        u16::try_from(slot).ok().map(Slot)
    }

    fn find(&self, slot: Slot, block: BlockHash) -> Option<EntryId> {
        let is_it = |id: &EntryId| {
            self.entry(*id).is_some_and(|entry| entry.block == block && entry.slot == slot)
        };
        self.found.find(place(self.key, slot, block), is_it).copied()
    }

    /// Returns the steps by which the table finds a block.
    #[cfg(test)]
    pub(super) fn steps(&self, slot: Slot, block: BlockHash) -> usize {
        let is_it = |id: &EntryId| {
            self.entry(*id).is_some_and(|entry| entry.block == block && entry.slot == slot)
        };
        super::flood::steps(&self.found, place(self.key, slot, block), is_it)
    }

    fn store(&mut self, entry: CachedBlock) -> EntryId {
        if let Some(id) = self.vacant.pop()
            && let Some(place) = self.entry_mut(id)
        {
            *place = entry;
            return id;
        }
        let id = EntryId::try_from(self.entries.len()).unwrap_or(NONE);
        debug_assert_ne!(id, NONE, "the index's limit is far below");
        self.entries.push(entry);
        id
    }

    fn remove(&mut self, id: EntryId) {
        let Some(&CachedBlock { block, slot, .. }) = self.entry(id) else { return };
        self.unlink(id);
        if let Ok(found) = self.found.find_entry(place(self.key, slot, block), |other| *other == id)
        {
            found.remove();
        }
        self.vacant.push(id);
    }

    /// Puts an entry at the newest end of its endpoint's list.
    fn link(&mut self, id: EntryId) {
        let Some(&CachedBlock { slot, weight, .. }) = self.entry(id) else { return };
        let Some(list) = self.lists.get_mut(slot.index()) else { return };
        let second = std::mem::replace(&mut list.newest, id);
        if list.oldest == NONE {
            list.oldest = id;
        }
        list.len += 1;
        list.weight = list.weight.saturating_add(weight);
        if let Some(entry) = self.entry_mut(id) {
            (entry.newer, entry.older) = (NONE, second);
        }
        if let Some(second) = self.entry_mut(second) {
            second.newer = id;
        }
    }

    /// Takes an entry out of its endpoint's list.
    fn unlink(&mut self, id: EntryId) {
        let Some(&CachedBlock { slot, weight, newer, older, .. }) = self.entry(id) else { return };
        if let Some(newer) = self.entry_mut(newer) {
            newer.older = older;
        }
        if let Some(older) = self.entry_mut(older) {
            older.newer = newer;
        }
        let Some(list) = self.lists.get_mut(slot.index()) else { return };
        if list.newest == id {
            list.newest = older;
        }
        if list.oldest == id {
            list.oldest = newer;
        }
        list.len -= 1;
        list.weight -= weight;
    }

    fn list(&self, slot: Slot) -> List {
        self.lists.get(slot.index()).copied().unwrap_or(List::EMPTY)
    }

    fn entry(&self, id: EntryId) -> Option<&CachedBlock> {
        self.entries.get(id as usize)
    }

    fn entry_mut(&mut self, id: EntryId) -> Option<&mut CachedBlock> {
        self.entries.get_mut(id as usize)
    }
}

/// Returns the table's hash of a pair: the block's, moved by the slot, which no client chooses. The
/// factor is 2^64 over the golden ratio, which spreads small numbers over all bits.
fn place(key: TableKey, slot: Slot, block: BlockHash) -> u64 {
    key.position(block.0) ^ u64::from(slot.0).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Returns a time in milliseconds, without what they leave no room for.
fn millis(time: Instant) -> Millis {
    let [a, b, c, d, ..] = (time.as_nanos() / 1_000_000).to_le_bytes();
    Millis::from_le_bytes([a, b, c, d])
}
