//! The machine's monotonic clock, of which the standard library hides the number.

use std::{sync::LazyLock, time::Duration};

use picker_core::Instant;

/// Time that is added to the monotonic clock, which begins when the machine boots: longer than any age that
/// is told, so that such a time lies after zero also on a machine that has just booted.
const PAST: Duration = Duration::from_secs(86_400);

/// Earliest time that the standard library can tell, from which the monotonic clock is measured. The library
/// hides the clock's number, and workers that start at different times must read the same one; the earliest
/// time is found by going back as far as it lets.
static EARLIEST: LazyLock<std::time::Instant> = LazyLock::new(|| {
    let seconds = (0..u64::BITS).rev().map(|bit| Duration::from_secs(1 << bit));
    let nanos = (0..30).rev().map(|bit| Duration::from_nanos(1 << bit));
    let back = |time: std::time::Instant, step| time.checked_sub(step).unwrap_or(time);
    seconds.chain(nanos).fold(monotonic_clock(), back)
});

/// Seconds from the library's earliest time to the clock's zero: none, or those of the lowest `i64`.
const BELOW_ZERO: u64 = 1 << 63;

#[expect(clippy::disallowed_methods, reason = "the one place where the monotonic clock is read")]
fn monotonic_clock() -> std::time::Instant {
    std::time::Instant::now()
}

/// Reads the monotonic clock, by which all times within this machine are told: the wall clock may be set
/// at any moment, by any amount.
pub(crate) fn now() -> Instant {
    let since = monotonic_clock().saturating_duration_since(*EARLIEST);
    let up = Duration::new(since.as_secs() & !BELOW_ZERO, since.subsec_nanos());
    Instant::default() + PAST + up
}
