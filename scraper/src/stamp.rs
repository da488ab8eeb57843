//! The time and number of each push.

use wire::push::{CLOCK_SKEW_MAX_MS, Stamp};

/// Numbers pushes and keeps their times from running backwards.
#[derive(Debug, Default)]
pub(crate) struct Stamper {
    time_ms: u64,
    sequence: u64,
}

impl Stamper {
    /// The stamp of the next push, when the clock says `now_ms` (Unix).
    ///
    /// An Envoy takes a push only if its stamp is above the last, so a clock that is set back (NTP)
    /// must not be followed at once; the old time stands still until the clock is past it. Set back
    /// more than [`CLOCK_SKEW_MAX_MS`], it is followed: Envoys would refuse the old time.
    pub(crate) fn next(&mut self, now_ms: u64) -> Stamp {
        let back = self.time_ms.saturating_sub(now_ms);
        self.time_ms = if back > CLOCK_SKEW_MAX_MS { now_ms } else { self.time_ms.max(now_ms) };
        self.sequence += 1;
        Stamp { time_ms: self.time_ms, sequence: self.sequence }
    }
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
            let (mut stamper, mut now, mut last) = (Stamper::default(), 1_000_000_u64, None);
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
