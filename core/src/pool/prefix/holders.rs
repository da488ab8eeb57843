//! From a block to the endpoints that hold it.

use hashbrown::{HashTable, hash_table::Entry};

use crate::{
    model::{BlockHash, TableKey},
    pool::Slot,
};

/// Every block that some endpoint holds.
#[derive(Clone, Debug)]
pub(super) struct Holders {
    nodes: HashTable<Node>,
    key: TableKey,
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
    pub(super) const fn new(key: TableKey) -> Self {
        Self { nodes: HashTable::new(), key }
    }

    /// Returns the endpoints that hold a block, by slot.
    pub(super) fn holding(&self, block: BlockHash) -> &[Slot] {
        self.nodes
            .find(self.key.position(block.0), |node| node.block == block)
            .map_or(&[], |node| node.slots.as_slice())
    }

    /// Adds a holder that was none.
    pub(super) fn add(&mut self, block: BlockHash, slot: Slot) {
        let key = self.key;
        let place = |block: BlockHash| key.position(block.0);
        match self.nodes.entry(place(block), |node| node.block == block, |node| place(node.block)) {
            Entry::Occupied(mut node) => node.get_mut().slots.add(slot),
            Entry::Vacant(room) => {
                room.insert(Node { block, slots: Slots::One(slot) });
            }
        }
    }

    /// Removes a holder, and with its last one the block.
    pub(super) fn remove(&mut self, block: BlockHash, slot: Slot) {
        let place = self.key.position(block.0);
        let Ok(mut node) = self.nodes.find_entry(place, |node| node.block == block) else {
            return;
        };
        if node.get_mut().slots.remove(slot) == Left::None {
            node.remove();
        }
    }

    /// Returns the steps by which the table finds a block.
    #[cfg(test)]
    pub(super) fn steps(&self, block: BlockHash) -> usize {
        super::flood::steps(&self.nodes, self.key.position(block.0), |node| node.block == block)
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
