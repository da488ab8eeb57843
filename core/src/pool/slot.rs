//! An endpoint's place in the tables of one worker.

/// An endpoint's number within one pool: small, and stable while the endpoint is in the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(pub u16);

impl Slot {
    /// Returns the number as a position in a table by slot.
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}
