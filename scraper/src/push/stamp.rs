//! The time and number of each snapshot.

use std::time::Duration;

use wire::push::{CLOCK_SKEW_MAX_MS, Stamp};

/// The stamps of one scraper process: each is above the one before, whatever the wall clock does.
#[derive(Debug)]
pub(super) struct Stamper {
    /// Name of this process, which Envoys tell from others.
    start: u32,
    time_ms: u64,
    uptime_ms: u64,
}

impl Stamper {
    /// Names of processes: 24 bits, of which 0 is a scraper of before.
    pub(super) const STARTS: std::ops::Range<u32> = 1..1 << 24;

    /// Makes the stamps of a process of this name.
    pub(super) const fn new(start: u32) -> Self {
        Self { start, time_ms: 0, uptime_ms: 0 }
    }

    /// Returns the stamp of the next snapshot, when the wall clock says `now_ms` (Unix) and the process has
    /// been up for `uptime`.
    ///
    /// An Envoy of before takes a push only if its time is above the last, so a clock that is set back
    /// (NTP) is not followed at once; the old time stands still until the clock is past it. Set back
    /// more than [`CLOCK_SKEW_MAX_MS`], it is followed: Envoys would refuse the old time.
    pub(super) fn next(&mut self, now_ms: u64, uptime: Duration) -> Stamp {
        let back = self.time_ms.saturating_sub(now_ms);
        self.time_ms = if back > CLOCK_SKEW_MAX_MS { now_ms } else { self.time_ms.max(now_ms) };
        let uptime_ms = u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX);
        self.uptime_ms = uptime_ms.max(self.uptime_ms + 1);
        Stamp::new(self.time_ms, self.start, self.uptime_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_set_back_a_little_is_waited_for() {
        let mut stamper = Stamper::new(5);
        let mut next = |now_ms, uptime_ms| {
            let stamp = stamper.next(now_ms, Duration::from_millis(uptime_ms));
            assert_eq!(stamp.start(), Some(5));
            (stamp.time_ms, stamp.uptime_ms())
        };
        assert_eq!(next(100_000, 7), (100_000, 7));
        assert_eq!(next(99_000, 57), (100_000, 57));
        assert_eq!(next(100_050, 57), (100_050, 58), "two in one millisecond");
        assert_eq!(next(10_000, 107), (10_000, 107), "set back by more than Envoys allow");
    }

    /// Every push is above the one before, unless the clock was set back by more than 30 s.
    #[test]
    fn pushes_only_grow() {
        arbtest::arbtest(|u| {
            let mut stamper = Stamper::new(1);
            let (mut now, mut up) = (1_000_000_u64, 0);
            let mut last = None;
            while !u.is_empty() {
                let passed = u.int_in_range(0..=5_000)?;
                (now, up) = (now.saturating_add(passed), up + passed);
                let skew = u.int_in_range(0..=15_000)?;
                let uptime = Duration::from_millis(up);
                let next = Some(stamper.next(now.saturating_sub(skew), uptime));
                assert!(next > last);
                last = next;
            }
            Ok(())
        });
    }
}
