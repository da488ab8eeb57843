//! The requests of one worker by their priorities.

use crate::model::{Instant, Priority};

/// The most priorities that a worker counts apart; as many as there may be bands. Requests of any other
/// count as of priority 0, as which they are served.
pub const BAND_COUNTS_MAX: usize = 64;

/// The requests of one priority on one worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BandCount {
    /// The priority.
    pub priority: Priority,
    /// Requests that are held.
    pub waiting: u32,
    /// Requests that were sent and have not ended.
    pub in_flight: u32,
    /// Requests that have arrived since the worker started.
    pub arrivals: u64,
    /// Arrival of the oldest request that is held; zero where none is.
    pub oldest: Instant,
}

/// The requests of one worker, by falling priorities, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BandCounts(Vec<BandCount>);

impl BandCounts {
    /// Returns the counts by falling priorities.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &BandCount> {
        self.0.iter()
    }

    /// Changes the counts of a priority.
    pub(crate) fn change(&mut self, priority: Priority, change: impl FnOnce(&mut BandCount)) {
        let find = |counts: &[BandCount], it: Priority| {
            counts.binary_search_by(|count| it.cmp(&count.priority))
        };
        let mut place = find(&self.0, priority);
        let mut counted = priority;
        if place.is_err() && self.0.len() >= BAND_COUNTS_MAX {
            counted = Priority(0);
            place = find(&self.0, counted);
        }
        let index = place.unwrap_or_else(|index| {
            self.0.insert(index, BandCount { priority: counted, ..BandCount::default() });
            index
        });
        if let Some(count) = self.0.get_mut(index) {
            change(count);
        }
    }
}

impl FromIterator<BandCount> for BandCounts {
    fn from_iter<I: IntoIterator<Item = BandCount>>(counts: I) -> Self {
        let mut all = Self::default();
        for count in counts {
            all.change(count.priority, |it| {
                it.waiting = it.waiting.saturating_add(count.waiting);
                it.in_flight = it.in_flight.saturating_add(count.in_flight);
                it.arrivals = it.arrivals.saturating_add(count.arrivals);
                let oldest = [it.oldest, count.oldest].into_iter();
                let oldest = oldest.filter(|at| *at != Instant::default()).min();
                it.oldest = oldest.unwrap_or_default();
            });
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_beyond_the_limit_count_as_the_lowest_of_all() {
        let mut counts = BandCounts::default();
        for priority in 1..=100 {
            counts.change(Priority(priority), |count| count.arrivals += 1);
        }
        let found: Vec<(i32, u64)> =
            counts.iter().map(|count| (count.priority.0, count.arrivals)).collect();
        assert_eq!(found.len(), BAND_COUNTS_MAX + 1);
        assert_eq!((found[0], found[BAND_COUNTS_MAX]), ((64, 1), (0, 36)));
        assert!(found.is_sorted_by(|one, two| one.0 > two.0));
    }

    #[test]
    fn the_counts_of_several_workers_add_up() {
        let at = Instant::from_nanos;
        let count = |waiting, oldest| BandCount {
            waiting,
            oldest: at(oldest),
            in_flight: 1,
            arrivals: 5,
            ..BandCount::default()
        };
        let sum: BandCounts = [count(0, 0), count(2, 70), count(1, 50)].into_iter().collect();
        let expected = BandCount { in_flight: 3, arrivals: 15, ..count(3, 50) };
        assert_eq!(sum.iter().copied().collect::<Vec<_>>(), [expected]);
    }
}
