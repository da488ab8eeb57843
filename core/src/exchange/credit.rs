//! The part of a pool's capacity that one gateway may use.

use crate::model::{Amounts, Priority};

/// A gateway's credit, as it is in force or offered.
///
/// A gateway goes by the credit of the highest epoch, and within an epoch of the highest number, and
/// by no older one that comes late.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credit {
    /// Epoch of the exchange that gave it.
    pub epoch: u64,
    /// Number of the part that brought it.
    pub number: u64,
    /// The most that the gateway may have in flight, by each measure that is limited.
    pub amounts: Amounts,
    /// Parts of it that only high bands may use, in the order of falling priorities. At most
    /// [`BANDS_MAX`](crate::flow::BANDS_MAX).
    pub reserves: Vec<BandReserve>,
}

/// Places of a credit that bands below a priority leave free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BandReserve {
    /// The lowest priority that may use the places.
    pub priority: Priority,
    /// Number of places, those of all higher priorities included.
    pub places: u32,
}
