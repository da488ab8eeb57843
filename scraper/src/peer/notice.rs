//! The lines of a [`Notice`] in the log.

use std::{fmt::Display, time::Duration};

use tracing::{debug, info, warn};

use super::{fault::Fault, link::Notice};

/// Logs the success of `peer`, as in "pod 10.0.0.1:8000", if that is news.
pub(crate) fn log_success(peer: impl Display, notice: Option<Notice>) {
    match notice {
        Some(Notice::Back(away)) => info!("{peer} answers again after {}", rounded(away)),
        Some(Notice::Reached) => debug!("{peer} answers"),
        Some(Notice::Down | Notice::Changed) | None => (),
    }
}

/// Logs the reason why `peer` is down, if that is news.
pub(crate) fn log_failure(peer: impl Display, notice: Option<Notice>, fault: &Fault) {
    match notice {
        Some(Notice::Down) => warn!("{peer} is down: {fault}"),
        Some(Notice::Changed) => warn!("{peer} is still down, now: {fault}"),
        Some(Notice::Back(_) | Notice::Reached) | None => (),
    }
}

/// Rounds to whole milliseconds: nanoseconds are noise in a log.
fn rounded(duration: Duration) -> humantime::FormattedDuration {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    humantime::format_duration(Duration::from_millis(millis))
}
