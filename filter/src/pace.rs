//! The pace of a stream.

use std::time::Duration;

/// Returns the mean time between `parts` that came within `streamed`; `None` of fewer than two.
pub(crate) fn mean_gap(streamed: Duration, parts: u32) -> Option<Duration> {
    let gaps = parts.checked_sub(1).filter(|gaps| *gaps > 0)?;
    Some(streamed / gaps)
}
