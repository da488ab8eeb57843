//! Windows of time over the pools' totals: the last ten seconds for the charts, the last minute for the tables.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    page::sample::{PoolSample, ServedRates},
    tallies::{PoolTotals, ServedTotals},
};

/// Looks, one a second, that the window of the charts goes back: in a single one few requests end.
const SHORT_LOOKS: usize = 10;

/// Time between two beginnings of the long window. The totals by endpoint are kept for each, which takes 1.5 MB
/// for 4,096 endpoints.
const LONG_STEP: Duration = Duration::from_secs(10);

/// Beginnings of the long window that are kept: it is from 50 to 60 s long.
const LONG_STEPS: usize = 6;

/// Windows over the totals of all pools.
#[derive(Debug, Default)]
pub(super) struct Windows(BTreeMap<Arc<str>, PoolWindows>);

/// Windows over the totals of one pool.
#[derive(Debug, Default)]
struct PoolWindows {
    /// Totals of the last looks, the newest last.
    short: VecDeque<(Instant, ServedTotals)>,
    /// Totals at the possible beginnings of the long window, the newest last.
    long: VecDeque<(Instant, PoolTotals)>,
}

impl Windows {
    /// Takes in a pool's totals. Returns the rates of the last ten seconds, and the last minute.
    pub(super) fn look(
        &mut self,
        pool: &Arc<str>,
        totals: &PoolTotals,
        now: Instant,
    ) -> (Option<ServedRates>, PoolSample) {
        self.0.entry(Arc::clone(pool)).or_default().look(totals, now)
    }
}

impl PoolWindows {
    fn look(&mut self, totals: &PoolTotals, now: Instant) -> (Option<ServedRates>, PoolSample) {
        // A gateway tells a scraper that starts of all that it ever served: what is new begins behind that.
        let was_empty = self.short.back().is_none_or(|(_, it)| *it == ServedTotals::default());
        if was_empty {
            self.short.clear();
            self.long.clear();
        }
        let rates = self.short.front().map(|(began, before)| {
            ServedRates::new(&totals.all.since(before), now.saturating_duration_since(*began))
        });
        self.short.push_back((now, totals.all.clone()));
        if self.short.len() > SHORT_LOOKS {
            self.short.pop_front();
        }
        let sample = self.long.front().map(|(began, before)| PoolSample {
            window: totals.since(before),
            length: now.saturating_duration_since(*began),
            ..PoolSample::default()
        });
        let newest = self.long.back().map(|(began, _)| *began);
        if newest.is_none_or(|newest| now.saturating_duration_since(newest) >= LONG_STEP) {
            self.long.push_back((now, totals.clone()));
            if self.long.len() > LONG_STEPS {
                self.long.pop_front();
            }
        }
        (rates, sample.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_before_the_scraper_is_in_no_window() {
        let (start, pool) = (Instant::now(), Arc::from("a"));
        let mut windows = Windows::default();
        let mut look = |second: u64, requests| {
            let all = ServedTotals { requests, ..ServedTotals::default() };
            let totals = PoolTotals { all, ..PoolTotals::default() };
            let (rates, sample) = windows.look(&pool, &totals, start + Duration::from_secs(second));
            (rates.map(|it| it.requests), sample.window.all.requests, sample.length.as_secs())
        };
        assert_eq!(look(0, 0), (None, 0, 0));
        assert_eq!(look(1, 100_000), (None, 0, 0), "a gateway tells what it has served");
        assert_eq!(look(2, 100_004), (Some(4.0), 4, 1));
        assert_eq!(look(11, 100_020), (Some(2.0), 20, 10));
        for second in 12..80 {
            look(second, 100_020);
        }
        let (rates, requests, length) = look(80, 100_020);
        assert_eq!((rates, requests), (Some(0.0), 0));
        assert!((50..=60).contains(&length), "{length} s");
    }
}
