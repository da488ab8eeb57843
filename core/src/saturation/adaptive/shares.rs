//! The places that are kept free for higher bands.

use crate::{model::Priority, saturation::load::whole};

/// Bands that are told apart; requests of further ones count with the lowest of them.
const BANDS_MAX: usize = 16;

/// Part that a placed request leaves of those before: the last two hundred make up two thirds.
const MEMORY: f64 = 0.995;

/// Requests without which nothing is kept: a share of fewer says nothing.
const PLACED_MIN: f64 = 20.0;

/// Share of arrivals that may find no place free: the goal of interactive bands is a p95.
const MISSED: f64 = 0.05;

/// Part of all places that is kept at most: what low bands may lose for it.
const KEPT_PART: u64 = 50;

/// Bounds of the higher bands' share: below, one place is kept anyway; above, no number would do.
const SHARE: std::ops::RangeInclusive<f64> = 0.01..=0.9;

/// The shares of the bands in the requests that were placed last.
#[derive(Clone, Debug, Default)]
pub struct BandShares {
    /// Faded numbers of requests, by descending priority; at most [`BANDS_MAX`].
    placed: Vec<(Priority, f64)>,
}

impl BandShares {
    /// Counts a request that is placed.
    pub fn placed(&mut self, priority: Priority) {
        self.placed.iter_mut().for_each(|(_, count)| *count *= MEMORY);
        // A band that sends no more would keep places for ever.
        self.placed.retain(|(_, count)| *count > 0.01);
        match self.placed.binary_search_by(|(known, _)| priority.cmp(known)) {
            Ok(index) => self.add(index),
            Err(index) if self.placed.len() < BANDS_MAX => {
                self.placed.insert(index, (priority, 1.0));
            }
            Err(_) => self.add(BANDS_MAX - 1),
        }
    }

    fn add(&mut self, index: usize) {
        if let Some((_, count)) = self.placed.get_mut(index) {
            *count += 1.0;
        }
    }

    /// Returns the highest band that was placed of late.
    #[must_use]
    pub fn highest(&self) -> Option<Priority> {
        self.placed.first().map(|(priority, _)| *priority)
    }

    /// Returns the places, out of `all`, that the bands below each priority leave free.
    ///
    /// In a full pool a place falls free with each end, and the next arrival is of the higher bands with
    /// the chance `x`, their share. So `n` free places are taken by them in a row with the chance `x^n`,
    /// and an arrival finds none.
    #[must_use]
    pub fn reserves(&self, all: u64) -> Vec<(Priority, u32)> {
        let total: f64 = self.placed.iter().map(|(_, count)| count).sum();
        let most = u32::try_from(all / KEPT_PART).unwrap_or(u32::MAX);
        if total < PLACED_MIN || most == 0 {
            return Vec::new();
        }
        let above = self.placed.len().saturating_sub(1);
        let mut sum = 0.0;
        let kept = self.placed.iter().take(above).map(|(priority, count)| {
            sum += count;
            let share = (sum / total).clamp(*SHARE.start(), *SHARE.end());
            let places = whole((MISSED.ln() / share.ln()).ceil());
            (*priority, places.min(most))
        });
        kept.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns shares of requests of which each `n`th is of the higher band.
    fn every(n: usize, requests: usize) -> BandShares {
        let mut shares = BandShares::default();
        for request in 0..requests {
            shares.placed(Priority(if request % n == 0 { 9 } else { 1 }));
        }
        shares
    }

    #[test]
    fn places_are_kept_by_the_share_of_higher_bands_and_a_fiftieth_at_most() {
        let kept = |n, all| every(n, 400).reserves(all).first().map(|(_, places)| *places);
        assert_eq!(kept(5, 1_000), Some(2), "0.2^2 is below 0.05");
        assert_eq!(kept(2, 1_000), Some(5));
        assert_eq!(kept(100, 1_000), Some(1));
        assert_eq!(kept(2, 200), Some(4));
        assert_eq!(kept(2, 49), None, "a fiftieth of few places is none");
        assert_eq!(every(5, 10).reserves(1_000), [], "too few to know");
        assert_eq!(every(1, 400).reserves(1_000), [], "one band has none below");
    }

    #[test]
    fn a_band_that_sends_no_more_is_forgotten() {
        let mut shares = every(5, 400);
        assert_eq!(shares.highest(), Some(Priority(9)));
        (0..2_000).for_each(|_| shares.placed(Priority(1)));
        assert_eq!(shares.highest(), Some(Priority(1)));
        assert_eq!(BandShares::default().highest(), None);
    }

    #[test]
    fn bands_are_bounded() {
        let mut shares = BandShares::default();
        (0..999).for_each(|it| shares.placed(Priority(it % 40)));
        assert!(shares.placed.len() <= BANDS_MAX);
        assert!(shares.placed.is_sorted_by(|one, other| one.0 > other.0));
    }
}
