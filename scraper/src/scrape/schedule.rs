//! The time of a pod's next scrape.

use std::time::{Duration, Instant};

/// Bytes of a page up to which its pod is scraped at the full pace: ten engines' worth.
const PAGE_BYTES_AT_FULL_PACE: usize = 512 << 10;

/// Returns the start of the next scrape of a pod, after one that was due at `due` and ended at
/// `now`.
///
/// The start is on the grid of `interval` from `due` on, so that pods keep their different phases
/// and a late timer does not add up; grid points that have passed are skipped and not made up for.
/// While the pod is down, it is `wait` after the last start instead, or now if even that is past: a
/// scrape that hung has waited already.
pub(super) fn next_start(
    due: Instant,
    now: Instant,
    interval: Duration,
    wait: Duration,
) -> Instant {
    if !wait.is_zero() {
        return (due + wait.max(interval)).max(now);
    }
    let behind = now.saturating_duration_since(due).as_nanos();
    let skipped = behind.checked_div(interval.as_nanos()).unwrap_or(0);
    let steps = u32::try_from(skipped).unwrap_or(u32::MAX).saturating_add(1);
    due.checked_add(interval.saturating_mul(steps)).unwrap_or(now + interval)
}

/// Returns the interval of a pod after a page of this many bytes. A longer page is asked for less
/// often in proportion, so that no pod keeps the one thread from the others by the length of its
/// page.
pub(super) fn interval(interval: Duration, page_bytes: usize) -> Duration {
    let times =
        u32::try_from(page_bytes / PAGE_BYTES_AT_FULL_PACE).unwrap_or(u32::MAX).saturating_add(1);
    interval.saturating_mul(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_slow_scrape_skips_ticks_and_keeps_its_phase() {
        let due = Instant::now();
        let after = |took| next_start(due, due + ms(took), ms(50), ms(0)) - due;
        assert_eq!(after(0), ms(50));
        assert_eq!(after(49), ms(50));
        assert_eq!(after(50), ms(100), "its tick has come while it ended: that one is missed");
        assert_eq!(after(120), ms(150));
    }

    #[test]
    fn a_pod_that_is_down_is_tried_less_often() {
        let due = Instant::now();
        let after = |took, wait| next_start(due, due + ms(took), ms(50), ms(wait)) - due;
        assert_eq!(after(1, 400), ms(400));
        assert_eq!(after(1, 10), ms(50), "never more often than a pod that is up");
        assert_eq!(after(1000, 400), ms(1000), "a scrape that hung has waited already");
    }

    #[test]
    fn a_long_page_takes_its_time() {
        let interval_for = |page_bytes| interval(ms(50), page_bytes);
        assert_eq!(
            [interval_for(0), interval_for(51_000), interval_for(300_000)],
            [ms(50); 3],
            "up to nine engines"
        );
        assert_eq!(interval_for(PAGE_BYTES_AT_FULL_PACE), ms(100));
        assert_eq!(interval_for(8 << 20), ms(850), "10 MB/s at the most");
    }

    /// While a pod is up, the next scrape lies on its grid, in the future, at most one interval on.
    #[test]
    fn the_next_tick_is_the_first_on_the_grid() {
        arbtest::arbtest(|u| {
            let due = Instant::now();
            let interval = ms(u.int_in_range(1..=5_000)?);
            let now = due + ms(u.int_in_range(0..=100_000)?);
            let next = next_start(due, now, interval, Duration::ZERO);
            assert_eq!((next - due).as_nanos() % interval.as_nanos(), 0);
            assert!(next > now && next - now <= interval);
            Ok(())
        });
    }
}
