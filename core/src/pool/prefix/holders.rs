//! From a block to the endpoints that hold it.

use hashbrown::{HashTable, hash_table::Entry};

use crate::{model::BlockHash, pool::Slot};

/// Every block that some endpoint holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Holders {
    nodes: HashTable<Node>,
}

#[derive(Clone, Debug)]
struct Node {
    block: BlockHash,
    slots: Slots,
}

/// In order of slot. Most blocks have one holder, which then costs no allocation.
#[derive(Clone, Debug)]
enum Slots {
    One(Slot),
    Many(Vec<Slot>),
}

impl Holders {
    /// Returns the endpoints that hold a block, by slot.
    pub(super) fn holding(&self, block: BlockHash) -> &[Slot] {
        self.nodes
            .find(block.0, |node| node.block == block)
            .map_or(&[], |node| node.slots.as_slice())
    }

    /// Adds a holder that was none.
    pub(super) fn add(&mut self, block: BlockHash, slot: Slot) {
        match self.nodes.entry(block.0, |node| node.block == block, |node| node.block.0) {
            Entry::Occupied(mut node) => node.get_mut().slots.add(slot),
            Entry::Vacant(room) => {
                room.insert(Node { block, slots: Slots::One(slot) });
            }
        }
    }

    /// Removes a holder, and with its last one the block.
    pub(super) fn remove(&mut self, block: BlockHash, slot: Slot) {
        let Ok(mut node) = self.nodes.find_entry(block.0, |node| node.block == block) else {
            return;
        };
        if node.get_mut().slots.remove(slot) == Left::None {
            node.remove();
        }
    }
}

/// The holders that a block has left.
#[derive(Debug, PartialEq, Eq)]
enum Left {
    Some,
    None,
}

impl Slots {
    fn as_slice(&self) -> &[Slot] {
        match self {
            Self::One(slot) => std::slice::from_ref(slot),
            Self::Many(slots) => slots,
        }
    }

    fn add(&mut self, slot: Slot) {
        match self {
            Self::One(only) => *self = Self::Many(vec![slot.min(*only), slot.max(*only)]),
            Self::Many(slots) => {
                if let Err(place) = slots.binary_search(&slot) {
                    slots.insert(place, slot);
                }
            }
        }
    }

    fn remove(&mut self, slot: Slot) -> Left {
        match self {
            Self::One(_) => return Left::None,
            Self::Many(slots) => {
                if let Ok(place) = slots.binary_search(&slot) {
                    slots.remove(place);
                }
                if let [only] = slots.as_slice() {
                    *self = Self::One(*only);
                }
            }
        }
        Left::Some
    }
}
