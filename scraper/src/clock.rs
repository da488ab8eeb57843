//! The wall clock, as others count it.

use std::time::SystemTime;

/// Returns milliseconds since the Unix epoch.
pub(crate) fn unix_ms(now: SystemTime) -> u64 {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
