//! The time and number of each snapshot.

use std::time::SystemTime;

use wire::push::{CLOCK_SKEW_MAX_MS, Stamp};

/// A counter of snapshots that keeps their times from running backwards.
#[derive(Debug, Default)]
pub(super) struct Stamper {
    time_ms: u64,
    sequence: u64,
}

impl Stamper {
    /// Returns the stamp of the next snapshot, when the clock says `now_ms` (Unix).
    ///
    /// An Envoy takes a push only if its stamp is above the last, so a clock that is set back (NTP)
    /// must not be followed at once; the old time stands still until the clock is past it. Set back
    /// more than [`CLOCK_SKEW_MAX_MS`], it is followed: Envoys would refuse the old time.
    pub(super) fn next(&mut self, now_ms: u64) -> Stamp {
        let back = self.time_ms.saturating_sub(now_ms);
        self.time_ms = if back > CLOCK_SKEW_MAX_MS { now_ms } else { self.time_ms.max(now_ms) };
        self.sequence += 1;
        Stamp { time_ms: self.time_ms, sequence: self.sequence }
    }
}

/// Returns milliseconds since the Unix epoch.
pub(crate) fn unix_ms(now: SystemTime) -> u64 {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_set_back_a_little_is_waited_for() {
        let mut stamper = Stamper::default();
        let mut next = |now_ms| {
            let stamp = stamper.next(now_ms);
            (stamp.time_ms, stamp.sequence)
        };
        assert_eq!(next(100_000), (100_000, 1));
        assert_eq!(next(99_000), (100_000, 2));
        assert_eq!(next(100_050), (100_050, 3));
        assert_eq!(next(10_000), (10_000, 4), "set back by more than Envoys allow");
    }

    /// Every push is above the one before, unless the clock was set back by more than 30 s.
    #[test]
    fn pushes_only_grow() {
        arbtest::arbtest(|u| {
            let mut stamper = Stamper::default();
            let mut now = 1_000_000_u64;
            let mut last = None;
            while !u.is_empty() {
                now = now.saturating_add(u.int_in_range(0..=5_000)?);
                let skew = u.int_in_range(0..=15_000)?;
                let next = Some(stamper.next(now.saturating_sub(skew)));
                assert!(next > last);
                last = next;
            }
            Ok(())
        });
    }
}
