//! The endpoints that hold a segment.

use super::ids::HoldingId;
use crate::pool::Slot;

/// An endpoint that holds a segment, from its front on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) slot: Slot,
    /// Hashes of the segment that it holds, from 1 to all.
    pub(super) held: u32,
    /// The entry of the endpoint's list.
    pub(super) holding: HoldingId,
}

/// In order of slot. Most segments have one holder, which then costs no allocation.
#[derive(Clone, Debug)]
pub(super) enum Holders {
    One(Holder),
    Many(Vec<Holder>),
}

/// The holders that a segment has left.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Left {
    Some,
    None,
}

impl Holders {
    pub(super) fn as_slice(&self) -> &[Holder] {
        match self {
            Self::One(holder) => std::slice::from_ref(holder),
            Self::Many(holders) => holders,
        }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [Holder] {
        match self {
            Self::One(holder) => std::slice::from_mut(holder),
            Self::Many(holders) => holders,
        }
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Holder> {
        let holders = self.as_slice();
        let place = holders.binary_search_by_key(&slot, |holder| holder.slot).ok()?;
        holders.get(place)
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Holder> {
        let holders = self.as_mut_slice();
        let place = holders.binary_search_by_key(&slot, |holder| holder.slot).ok()?;
        holders.get_mut(place)
    }

    /// Returns the most hashes that any of them holds.
    pub(super) fn longest(&self) -> u32 {
        self.as_slice().iter().map(|holder| holder.held).max().unwrap_or(0)
    }

    /// Adds a holder that was none.
    pub(super) fn add(&mut self, holder: Holder) {
        match self {
            Self::One(only) => {
                let mut both = vec![*only, holder];
                both.sort_unstable_by_key(|holder| holder.slot);
                *self = Self::Many(both);
            }
            Self::Many(holders) => {
                let slot = holder.slot;
                if let Err(place) = holders.binary_search_by_key(&slot, |holder| holder.slot) {
                    holders.insert(place, holder);
                }
            }
        }
    }

    /// Removes a holder.
    pub(super) fn remove(&mut self, slot: Slot) -> Left {
        match self {
            Self::One(_) => return Left::None,
            Self::Many(holders) => {
                if let Ok(place) = holders.binary_search_by_key(&slot, |holder| holder.slot) {
                    holders.remove(place);
                }
                if let [only] = holders.as_slice() {
                    *self = Self::One(*only);
                }
            }
        }
        Left::Some
    }

    /// Splits off what is held of the first `at` hashes. Here stays what is held behind them: some endpoint holds
    /// all of a segment.
    pub(super) fn split_front(&mut self, at: u32) -> Self {
        let mut front = self.clone();
        front.as_mut_slice().iter_mut().for_each(|holder| holder.held = holder.held.min(at));
        let behind = |holder: &Holder| holder.held.checked_sub(at).filter(|held| *held > 0);
        let rear = |holder: &Holder| Some(Holder { held: behind(holder)?, ..*holder });
        let rear: Vec<Holder> = self.as_slice().iter().filter_map(rear).collect();
        *self = if let [only] = rear.as_slice() { Self::One(*only) } else { Self::Many(rear) };
        front
    }
}
