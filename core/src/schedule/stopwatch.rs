//! The time that each plugin takes in one choice.

use std::{cell::Cell, fmt, time::Duration};

use crate::model::Instant;

/// Times of one choice at most: the profiles of a configuration have a dozen plugins together.
const TIMES_MAX: usize = 64;

/// Place in a request's life at which a plugin runs, as the EPP names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the EPP's own, and say it")]
pub enum ExtensionPoint {
    DataProducer,
    Admission,
    Filter,
    Scorer,
    Picker,
}

/// The time of one plugin in one choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PluginTime {
    /// Place at which it ran.
    pub point: ExtensionPoint,
    /// Plugin type in an EndpointPickerConfig.
    pub plugin: &'static str,
    /// Time that it took, a look at the clock included.
    pub took: Duration,
}

/// Reads the clock of whoever has plugins timed: this crate has none.
pub type Clock = fn() -> Instant;

/// A stopwatch beside one choice.
pub(crate) struct Stopwatch {
    clock: Clock,
    times: Cell<Vec<PluginTime>>,
}

impl ExtensionPoint {
    /// Returns the name as the EPP spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DataProducer => "DataProducer",
            Self::Admission => "Admission",
            Self::Filter => "Filter",
            Self::Scorer => "Scorer",
            Self::Picker => "Picker",
        }
    }
}

impl Stopwatch {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, times: Cell::default() }
    }

    /// Runs a plugin and notes its time.
    pub(crate) fn time<T>(
        &self,
        point: ExtensionPoint,
        plugin: &'static str,
        run: impl FnOnce() -> T,
    ) -> T {
        let began = (self.clock)();
        let done = run();
        let took = (self.clock)().saturating_since(began);
        let mut times = self.times.take();
        if times.len() < TIMES_MAX {
            times.push(PluginTime { point, plugin, took });
        }
        self.times.set(times);
        done
    }

    /// Returns the times in the order in which the plugins ran.
    pub(crate) fn into_times(self) -> Vec<PluginTime> {
        self.times.into_inner()
    }
}

impl fmt::Debug for Stopwatch {
    /// Writes no times, which cannot be looked at while they are noted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stopwatch")
    }
}
