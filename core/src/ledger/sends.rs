//! The requests that were sent to one endpoint within the last moments, by their time.
//!
//! A metrics page shows an endpoint as it was when the page was read. What was sent since then is not
//! on it, whatever else is: neither the requests of other gateways nor those that ended meanwhile can
//! be told apart there. So the sends are counted here, and a page's time says which of them it lacks.

use std::time::Duration;

use crate::model::Instant;

/// Numbers of sends, by slices of time, in one word: the ledger is copied for every decision.
///
/// The lower 48 bits are a count for each of six slices, the newest lowest; the upper 16 bits are the
/// number of the newest slice, which starts anew after 35 minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sends(u64);

impl Sends {
    /// Length of a slice, in milliseconds. Sends of the slice in which a page was read all count as
    /// not on it, so a longer one would hold more room back.
    const SLICE_MS: u64 = 32;

    /// Slices that are remembered: 192 ms, which is nearly as long as a page is gone by
    /// (`metricsStalenessThreshold`). Of an older page, only these sends are known to be missing.
    const SLICES: u32 = 6;

    /// Time for which sends are remembered.
    const ALL: Duration = Duration::from_millis(Self::SLICE_MS * Self::SLICES as u64);

    /// Bits of a count, and the most that it counts: more in 32 ms to one endpoint are not sent.
    const BITS: u32 = 8;
    const COUNT_MAX: u64 = 255;

    /// Bits that all counts take.
    const COUNTS: u32 = Self::SLICES * Self::BITS;

    /// Returns the sends of a word, as it is kept in shared data.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Returns the word to be kept in shared data.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Counts a request that is sent at `now`.
    pub(crate) fn add(&mut self, now: Instant) {
        let counts = self.counts_at(slice(now));
        let newest = (counts & Self::COUNT_MAX).saturating_add(1).min(Self::COUNT_MAX);
        let counts = (counts & !Self::COUNT_MAX) | newest;
        self.0 = (slice(now) << Self::COUNTS) | counts;
    }

    /// Counts the sends since `then`, with all of the slice that `then` lies in.
    pub(crate) fn since(self, then: Instant, now: Instant) -> u32 {
        let counts = self.counts_at(slice(now));
        let is_long_ago = now.saturating_since(then) >= Self::ALL;
        // By their numbers slices of 35 minutes ago would look young.
        let passed = slice(now).wrapping_sub(slice(then)) & SLICE_NUMBERS;
        let passed = if is_long_ago { SLICE_NUMBERS } else { passed };
        let count = |age: u32| (counts >> (age * Self::BITS)) & Self::COUNT_MAX;
        let within = (0..Self::SLICES).filter(|age| u64::from(*age) <= passed);
        // A page of a later moment than now, by a clock that was set back, lacks nothing.
        let sum: u64 = if then > now { 0 } else { within.map(count).sum() };
        u32::try_from(sum).unwrap_or(u32::MAX)
    }

    /// True if a request was sent within so long before `now`. One of 35 minutes ago looks as young as its number.
    pub(crate) fn any_within(self, age: Duration, now: Instant) -> bool {
        let passed = slice(now).wrapping_sub(self.0 >> Self::COUNTS) & SLICE_NUMBERS;
        self.0 != 0 && u128::from(passed * Self::SLICE_MS) <= age.as_millis()
    }

    /// Returns the counts as they are seen from a slice: what is older than the oldest is gone.
    fn counts_at(self, slice: u64) -> u64 {
        let newest = self.0 >> Self::COUNTS;
        let passed = slice.wrapping_sub(newest) & SLICE_NUMBERS;
        let counts = self.0 & ((1 << Self::COUNTS) - 1);
        if passed >= u64::from(Self::SLICES) {
            return 0;
        }
        let bits = u32::try_from(passed).unwrap_or(Self::SLICES) * Self::BITS;
        (counts << bits) & ((1 << Self::COUNTS) - 1)
    }
}

/// The largest number of a slice.
const SLICE_NUMBERS: u64 = (1 << (u64::BITS - Sends::COUNTS)) - 1;

/// Returns the number of the slice that a moment lies in.
fn slice(at: Instant) -> u64 {
    let slice = Duration::from_millis(Sends::SLICE_MS).as_nanos();
    u64::try_from(u128::from(at.as_nanos()) / slice).unwrap_or(0) & SLICE_NUMBERS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos((1_000_000 * Sends::SLICE_MS + ms) * 1_000_000)
    }

    #[test]
    fn sends_count_from_the_slice_of_the_page_on() {
        let mut sends = Sends::default();
        for ms in [0, 10, 33, 40, 70] {
            sends.add(at(ms));
        }
        let since = |then, now| sends.since(at(then), at(now));
        assert_eq!([since(0, 80), since(31, 80), since(32, 80), since(64, 80)], [5, 5, 3, 1]);
        assert_eq!(since(80, 80), 1, "the same slice as the last send");
        assert_eq!([since(96, 100), since(0, 190), since(0, 192), since(0, 255)], [0, 5, 3, 1]);
        assert_eq!(since(0, 256), 0, "what is older than all slices is forgotten");
        assert_eq!(since(100, 80), 0, "a page of the future");
        let mut sends = Sends::default();
        [0, 40].into_iter().for_each(|ms| sends.add(at(2_097_152 + ms)));
        assert_eq!(sends.since(at(32), at(2_097_152 + 50)), 2, "a page of 35 minutes ago");
    }

    #[test]
    fn the_last_send_is_known_for_longer_than_its_count() {
        let within = |sends: Sends, ms| sends.any_within(Duration::from_secs(10), at(ms));
        let mut sends = Sends::default();
        assert!(!within(sends, 0), "none at all");
        sends.add(at(100));
        assert_eq!(
            [100, 5_000, 10_060, 10_140].map(|ms| within(sends, ms)),
            [true, true, true, false]
        );
        sends.add(at(10_200));
        assert!(within(sends, 20_000));
    }

    #[test]
    fn a_count_has_a_limit_and_leaves_its_neighbours_alone() {
        let mut sends = Sends::default();
        sends.add(at(0));
        (0..1_000).for_each(|_| sends.add(at(40)));
        assert_eq!(sends.since(at(32), at(40)), 255);
        assert_eq!(sends.since(at(0), at(40)), 256);
        assert_eq!(Sends::from_bits(sends.bits()), sends);
    }

    #[test]
    fn numbers_that_start_anew_make_nothing_old_new() {
        let wrap = Sends::SLICE_MS * (SLICE_NUMBERS + 1);
        let mut sends = Sends::default();
        sends.add(at(0));
        assert_eq!(sends.since(at(wrap - 100), at(wrap - 90)), 0);
        sends.add(at(wrap - 10));
        sends.add(at(wrap + 30));
        assert_eq!(sends.since(at(wrap - 10), at(wrap + 40)), 2);
    }
}
