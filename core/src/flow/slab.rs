//! Things under small dense numbers.

/// A number that names an entry until it is removed, and may name another afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SlabKey(u32);

/// A table that hands out the number of each entry, and the numbers of removed ones again.
#[derive(Clone, Debug)]
pub(super) struct Slab<T> {
    entries: Vec<Option<T>>,
    free: Vec<SlabKey>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Adds the entry that `entry` makes of its number.
    pub(super) fn insert_with(&mut self, entry: impl FnOnce(SlabKey) -> T) -> SlabKey {
        if let Some(slot) = self.free.pop() {
            if let Some(place) = self.entries.get_mut(slot.index()) {
                *place = Some(entry(slot));
            }
            return slot;
        }
        let slot = SlabKey(u32::try_from(self.entries.len()).unwrap_or(u32::MAX));
        self.entries.push(Some(entry(slot)));
        slot
    }

    pub(super) fn remove(&mut self, slot: SlabKey) -> Option<T> {
        let entry = self.entries.get_mut(slot.index())?.take()?;
        self.free.push(slot);
        Some(entry)
    }

    pub(super) fn get(&self, slot: SlabKey) -> Option<&T> {
        self.entries.get(slot.index())?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: SlabKey) -> Option<&mut T> {
        self.entries.get_mut(slot.index())?.as_mut()
    }

    /// Returns all entries, by number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (SlabKey, &T)> {
        (0..)
            .map(SlabKey)
            .zip(&self.entries)
            .filter_map(|(slot, entry)| Some((slot, entry.as_ref()?)))
    }
}

impl SlabKey {
    fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}
