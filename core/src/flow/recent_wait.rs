//! The waits of the requests of one priority that were dispatched of late.

use std::time::Duration;

use crate::model::Instant;

/// Weight of the newest wait in the mean, as a divisor: half of the mean is of the last five requests.
const NEWEST_DIV: u32 = 8;

/// Time after which a mean says nothing of a queue any more.
const RECENT: Duration = Duration::from_secs(60);

/// The waits of the last requests that left a queue for an endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RecentWait {
    /// Exponentially weighted mean.
    mean: Duration,
    /// Time of the last dispatch; zero before the first.
    at: Instant,
}

impl RecentWait {
    /// Notes that a request was dispatched after this wait.
    pub(super) fn note(&mut self, now: Instant, waited: Duration) {
        let mean =
            self.mean(now).map_or(waited, |mean| mean - mean / NEWEST_DIV + waited / NEWEST_DIV);
        *self = Self { mean, at: now };
    }

    /// Returns the mean of the last waits, if any of them was of late. By Little's law, in a steady state it is the
    /// length of the queue over the rate at which it is served.
    pub(super) fn mean(&self, now: Instant) -> Option<Duration> {
        let is_recent = self.at != Instant::default() && now.saturating_since(self.at) < RECENT;
        is_recent.then_some(self.mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn the_last_waits_count_and_those_of_another_minute_do_not() {
        let mut waits = RecentWait::default();
        assert_eq!(waits.mean(at(1)), None);
        waits.note(at(1), Duration::from_secs(30));
        (2..60).for_each(|second| waits.note(at(second), Duration::from_secs(8)));
        let mean = waits.mean(at(60)).unwrap();
        assert_eq!(mean.as_millis() / 100, 80, "{mean:?}");
        assert_eq!(waits.mean(at(119)), None);
        waits.note(at(200), Duration::from_secs(1));
        assert_eq!(waits.mean(at(200)), Some(Duration::from_secs(1)), "begun anew");
    }
}
