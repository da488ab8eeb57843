//! The ways in which the server can be made to fail.

use std::time::Duration;

use serde::Deserialize;

/// A kind of failure; `--help` describes each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "described for users in the help of the program")]
pub enum Kind {
    #[default]
    None,
    Refuse,
    Hang,
    Busy,
    Health503,
    StreamError,
    StreamReset,
    SlowMetrics,
    TruncatedMetrics,
    GarbageMetrics,
    Restart,
    Pause,
}

/// A fault with its settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Kind of the failure.
    pub kind: Kind,
    /// Seconds after which the fault heals; for `health503`, after which the server dies.
    pub seconds: Option<f64>,
    /// Number of tokens before a stream breaks; 2 unless given.
    pub after: Option<usize>,
    /// Seconds that `/metrics` takes; 2 unless given.
    pub delay: Option<f64>,
}

impl Fault {
    /// Returns a fault with the default settings, until healed.
    #[must_use]
    pub const fn new(kind: Kind) -> Self {
        Self { kind, seconds: None, after: None, delay: None }
    }

    /// Returns how long the fault lasts; `None` means until healed.
    pub(super) fn lasts(&self) -> Option<Duration> {
        /// Time from the kill of a real engine to the end of its server.
        const DYING: Duration = Duration::from_millis(2_300);
        let told = self.seconds.map(duration);
        if self.kind == Kind::Health503 {
            return Some(told.unwrap_or(DYING));
        }
        if self.kind == Kind::Restart { Some(Duration::ZERO) } else { told }
    }

    /// Returns the delay of `/metrics`.
    pub(super) fn metrics_delay(&self) -> Option<Duration> {
        (self.kind == Kind::SlowMetrics).then(|| duration(self.delay.unwrap_or(2.0)))
    }

    /// Returns the number of tokens after which streams break, if they do.
    pub(super) fn breaks_after(&self) -> Option<usize> {
        let breaks = matches!(self.kind, Kind::StreamError | Kind::StreamReset);
        breaks.then(|| self.after.unwrap_or(2))
    }
}

/// Returns seconds as a duration; nonsense becomes nothing.
fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
