//! The things that go wrong in a world.

use crate::chance::Chance;

/// The faults of a world; each a chance of one in so many, 0 for never.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Faults {
    /// A message is lost. What is forged, replayed with another stamp, or of another version is refused,
    /// which is the same as lost.
    pub(crate) lost: u64,
    /// A message is late by up to [`Self::LATE_MAX_MS`], so that others come before it.
    pub(crate) late: u64,
    /// A message comes twice.
    pub(crate) twice: u64,
    /// In a millisecond the scraper dies, and another one starts up to some seconds later.
    pub(crate) scraper_dies: u64,
    /// In a millisecond a gateway dies.
    pub(crate) gateway_dies: u64,
    /// In a millisecond a gateway starts.
    pub(crate) gateway_starts: u64,
}

impl Faults {
    /// No message is later: the scraper gives a push up by then.
    pub(crate) const LATE_MAX_MS: u64 = 400;

    pub(crate) const NONE: Self =
        Self { lost: 0, late: 0, twice: 0, scraper_dies: 0, gateway_dies: 0, gateway_starts: 0 };

    /// Returns some of all faults.
    pub(crate) fn any(seed: u64) -> Self {
        let mut chance = Chance::new(seed ^ 0x1234);
        let mut some = |rare: u64, often: u64| match chance.below(3) {
            0 => 0,
            1 => rare,
            _ => often,
        };
        Self {
            lost: some(20, 3),
            late: some(20, 3),
            twice: some(20, 5),
            scraper_dies: some(20_000, 4_000),
            gateway_dies: some(20_000, 5_000),
            gateway_starts: some(20_000, 5_000),
        }
    }
}

/// True with a chance of one in so many; never for 0.
pub(crate) fn happens(chance: &mut Chance, one_in: u64) -> bool {
    one_in > 0 && chance.one_in(one_in)
}
