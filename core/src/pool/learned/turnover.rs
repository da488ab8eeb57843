//! The time for which each endpoint's cache keeps a prefix that is used once.

use std::time::Duration;

use crate::pool::Slot;

/// The time for which endpoints keep what they use now and never again, as of the latest snapshot: it
/// changes slowly, and to look it up for every endpoint of every choice would double what a choice
/// costs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turnover {
    by_slot: Vec<Cache>,
}

/// Effect of one endpoint's cache on a prefix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cache {
    /// Seconds for which the cache keeps what is used once; endless where nothing tells.
    pub(crate) keeps_for: f64,
    /// Share of what the cache evicts that would have been asked for again, 0 to 1.
    pub(crate) evicts_used: f64,
}

impl Default for Cache {
    fn default() -> Self {
        Self { keeps_for: f64::INFINITY, evicts_used: 0.0 }
    }
}

impl Turnover {
    /// Time over which what is asked for again is asked for, in seconds: the longer ago a prefix was
    /// used, the less is lost with it. With 10 and with 20, caches that just hold each prefix once are
    /// used as well as by stickiness alone.
    const RETURN_SECONDS: f64 = 10.0;

    /// Learns the time for which an endpoint keeps what it uses once.
    pub(crate) fn seen(&mut self, slot: Slot, keeps_for: Option<Duration>) {
        if self.by_slot.len() <= slot.index() {
            self.by_slot.resize(slot.index() + 1, Cache::default());
        }
        if let Some(cache) = self.by_slot.get_mut(slot.index()) {
            *cache = keeps_for.map_or_else(Cache::default, |keeps_for| {
                let keeps_for = keeps_for.as_secs_f64();
                Cache { keeps_for, evicts_used: (-keeps_for / Self::RETURN_SECONDS).exp() }
            });
        }
    }

    /// Returns what is known of an endpoint's cache.
    pub(crate) fn cache(&self, slot: Slot) -> Cache {
        self.by_slot.get(slot.index()).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_that_turns_over_fast_evicts_what_is_used() {
        let mut turnover = Turnover::default();
        let mut evicts = |seconds| {
            turnover.seen(Slot(2), Some(Duration::from_secs(seconds)));
            turnover.cache(Slot(2)).evicts_used
        };
        assert!(evicts(1) > 0.9);
        assert!((evicts(10) - 0.368).abs() < 1e-3);
        assert!(evicts(60) < 0.01);
        turnover.seen(Slot(2), None);
        assert_eq!([0, 2, 9].map(|slot| turnover.cache(Slot(slot))), [Cache::default(); 3]);
    }
}
