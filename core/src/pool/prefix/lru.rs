//! The segments of each endpoint in the order of their last use.

use std::time::Duration;

use super::{
    amount::HeldAmount,
    ids::{HoldingId, NOWHERE, SegmentId},
};
use crate::{model::Instant, pool::Slot};

/// All endpoints' holdings: one slab, threaded by one list per endpoint.
#[derive(Clone, Debug, Default)]
pub(super) struct Lru {
    holdings: Vec<Holding>,
    vacant: Vec<HoldingId>,
    lists: Vec<List>,
    /// Number of the latest placement, which starts anew after 2^32.
    placement: u32,
    /// Time of the uses that are noted now.
    now: Millis,
}

/// Milliseconds since an epoch of their own, which start anew after 49 days. A holding has no room for
/// more, and one that is older is taken for younger.
type Millis = u32;

/// Milliseconds by which a use may be of a later moment than a look at it: events of other workers travel in less.
const AHEAD_MAX: Millis = 60_000;

/// A segment at one endpoint, as far as that holds it. All of it was used alike: where a use ends, the segment is cut.
#[derive(Clone, Copy, Debug)]
struct Holding {
    segment: SegmentId,
    slot: Slot,
    /// True if more than one placement used it.
    shared: bool,
    /// The placement that used it last.
    used_by: u32,
    /// Time of its last use.
    used_at: Millis,
    newer: HoldingId,
    older: HoldingId,
}

/// The holdings of one endpoint.
#[derive(Clone, Copy, Debug)]
struct List {
    newest: HoldingId,
    oldest: HoldingId,
    size: HeldAmount,
    capacity: u32,
}

impl List {
    const EMPTY: Self = Self {
        newest: NOWHERE,
        oldest: NOWHERE,
        size: HeldAmount { hashes: 0, blocks: 0 },
        capacity: 0,
    };
}

impl Lru {
    pub(super) fn admit(&mut self, slot: Slot, capacity: u32) {
        if self.lists.len() <= slot.index() {
            self.lists.resize(slot.index() + 1, List::EMPTY);
        }
        if let Some(list) = self.lists.get_mut(slot.index()) {
            list.capacity = capacity;
        }
    }

    /// Starts a placement: the segments touched from now on are one chain, from its tail.
    pub(super) fn begin(&mut self) {
        self.placement = self.placement.wrapping_add(1);
    }

    /// Sets the time of all uses from now on.
    pub(super) fn advance(&mut self, now: Instant) {
        self.now = millis(now);
    }

    /// Returns the time since the endpoint last used its oldest block; `None` if it has none.
    pub(super) fn oldest_age(&self, slot: Slot, now: Instant) -> Option<Duration> {
        let oldest = self.holding(self.list(slot).oldest)?;
        let age = millis(now).wrapping_sub(oldest.used_at);
        // An event of another worker may be of a later moment than this pick's.
        let age = if age > Millis::MAX - AHEAD_MAX { 0 } else { age };
        Some(Duration::from_millis(age.into()))
    }

    /// Returns the segment that the endpoint used least recently.
    pub(super) fn oldest(&self, slot: Slot) -> Option<SegmentId> {
        self.holding(self.list(slot).oldest).map(|holding| holding.segment)
    }

    /// Has the endpoint hold a segment, as its newest.
    pub(super) fn bring(&mut self, slot: Slot, segment: SegmentId, size: HeldAmount) -> HoldingId {
        let id = self.store(Holding {
            segment,
            slot,
            shared: false,
            used_by: self.placement,
            used_at: self.now,
            newer: NOWHERE,
            older: NOWHERE,
        });
        self.link(id);
        if let Some(list) = self.lists.get_mut(slot.index()) {
            list.size.hashes += size.hashes;
            list.size.blocks = list.size.blocks.saturating_add(size.blocks);
        }
        id
    }

    /// Makes a holding the endpoint's newest.
    pub(super) fn renew(&mut self, id: HoldingId) {
        let used_at = self.now;
        self.unlink(id);
        self.link(id);
        if let Some(holding) = self.holding_mut(id) {
            holding.used_at = used_at;
        }
    }

    /// Makes a holding the endpoint's newest, by another placement.
    pub(super) fn touch(&mut self, id: HoldingId) {
        let used_by = self.placement;
        self.renew(id);
        if let Some(holding) = self.holding_mut(id) {
            (holding.shared, holding.used_by) = (true, used_by);
        }
    }

    /// Cuts a holding in two, of the same uses. The part in front, for this segment, is the next newer.
    pub(super) fn cut(&mut self, rear: HoldingId, front: SegmentId) -> HoldingId {
        let Some(&holding) = self.holding(rear) else { return NOWHERE };
        let id = self.store(Holding { segment: front, older: rear, ..holding });
        if let Some(rear) = self.holding_mut(rear) {
            rear.newer = id;
        }
        if let Some(newer) = self.holding_mut(holding.newer) {
            newer.older = id;
        } else if let Some(list) = self.lists.get_mut(holding.slot.index()) {
            list.newest = id;
        }
        id
    }

    /// Makes a holding one of this segment.
    pub(super) fn move_to(&mut self, id: HoldingId, segment: SegmentId) {
        if let Some(holding) = self.holding_mut(id) {
            holding.segment = segment;
        }
    }

    /// True if another placement counts on a holding, or something held is built on it. What is built on
    /// it came in the same placement, which makes it the next older: after an eviction the one that brought
    /// the segment anew need not be the one that gives it back.
    pub(super) fn is_shared(&self, id: HoldingId) -> bool {
        self.holding(id).is_some_and(|holding| {
            let older = self.holding(holding.older);
            holding.shared || older.is_some_and(|older| older.used_by == holding.used_by)
        })
    }

    /// Removes a holding of this size.
    pub(super) fn remove(&mut self, id: HoldingId, size: HeldAmount) {
        let Some(&Holding { slot, .. }) = self.holding(id) else { return };
        self.unlink(id);
        self.vacant.push(id);
        self.shrink(slot, size);
    }

    /// Notes that an endpoint holds so much less of a segment.
    pub(super) fn shrink(&mut self, slot: Slot, by: HeldAmount) {
        if let Some(list) = self.lists.get_mut(slot.index()) {
            list.size.hashes = list.size.hashes.saturating_sub(by.hashes);
            list.size.blocks = list.size.blocks.saturating_sub(by.blocks);
        }
    }

    /// Returns one above the highest slot ever admitted.
    pub(super) fn slots(&self) -> usize {
        self.lists.len()
    }

    /// Returns the blocks that an endpoint holds.
    pub(super) fn blocks(&self, slot: Slot) -> u32 {
        self.list(slot).size.blocks
    }

    pub(super) fn capacity(&self, slot: Slot) -> u32 {
        self.list(slot).capacity
    }

    /// Returns the endpoint that holds the most hashes.
    pub(super) fn fullest(&self) -> Option<Slot> {
        let lists = self.lists.iter().enumerate();
        let (slot, _) = lists.max_by_key(|(_, list)| list.size.hashes)?;
        u16::try_from(slot).ok().map(Slot)
    }

    fn store(&mut self, holding: Holding) -> HoldingId {
        if let Some(id) = self.vacant.pop()
            && let Some(place) = self.holding_mut(id)
        {
            *place = holding;
            return id;
        }
        let id = HoldingId::try_from(self.holdings.len()).unwrap_or(NOWHERE);
        debug_assert_ne!(id, NOWHERE, "the index's limit is far below");
        self.holdings.push(holding);
        id
    }

    /// Puts a holding at the newest end of its endpoint's list.
    fn link(&mut self, id: HoldingId) {
        let Some(&Holding { slot, .. }) = self.holding(id) else { return };
        let Some(list) = self.lists.get_mut(slot.index()) else { return };
        let second = std::mem::replace(&mut list.newest, id);
        if list.oldest == NOWHERE {
            list.oldest = id;
        }
        if let Some(holding) = self.holding_mut(id) {
            (holding.newer, holding.older) = (NOWHERE, second);
        }
        if let Some(second) = self.holding_mut(second) {
            second.newer = id;
        }
    }

    /// Takes a holding out of its endpoint's list.
    fn unlink(&mut self, id: HoldingId) {
        let Some(&Holding { slot, newer, older, .. }) = self.holding(id) else { return };
        if let Some(newer) = self.holding_mut(newer) {
            newer.older = older;
        }
        if let Some(older) = self.holding_mut(older) {
            older.newer = newer;
        }
        let Some(list) = self.lists.get_mut(slot.index()) else { return };
        if list.newest == id {
            list.newest = older;
        }
        if list.oldest == id {
            list.oldest = newer;
        }
    }

    fn list(&self, slot: Slot) -> List {
        self.lists.get(slot.index()).copied().unwrap_or(List::EMPTY)
    }

    fn holding(&self, id: HoldingId) -> Option<&Holding> {
        self.holdings.get(id as usize)
    }

    fn holding_mut(&mut self, id: HoldingId) -> Option<&mut Holding> {
        self.holdings.get_mut(id as usize)
    }
}

/// Returns a time in milliseconds, without what they leave no room for.
fn millis(time: Instant) -> Millis {
    let [a, b, c, d, ..] = (time.as_nanos() / 1_000_000).to_le_bytes();
    Millis::from_le_bytes([a, b, c, d])
}
