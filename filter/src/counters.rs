//! The counters that a plugin instance has from its start.

use crate::host::Metric;

/// The counters of one plugin instance. Envoy sums them over its workers.
pub(crate) struct Counters {
    /// Requests that were given an endpoint.
    pub(crate) picked: Metric,
    /// Requests let through without an endpoint, because there was nothing to pick from.
    pub(crate) failed_open: Metric,
    /// Snapshots that were verified and stored.
    pub(crate) snapshots_stored: Metric,
    /// Pushes that were answered with an error.
    pub(crate) snapshots_refused: Metric,
    bad_request: Metric,
    too_large: Metric,
    too_many: Metric,
    unavailable: Metric,
}

impl Counters {
    /// Defines all counters at once, so that a dashboard shows zeros and no gaps. A label is part of the name
    /// until Envoy's stats tags take it out: see envoy/local/.
    pub(crate) fn define() -> Self {
        let refused =
            |code: &str| Metric::counter(&format!("llm_picker_refused_total.code={code}"));
        let snapshots = |outcome: &str| {
            Metric::counter(&format!("llm_picker_snapshots_total.outcome={outcome}"))
        };
        Self {
            picked: Metric::counter("llm_picker_picked_total"),
            failed_open: Metric::counter("llm_picker_failed_open_total"),
            snapshots_stored: snapshots("stored"),
            bad_request: refused("400"),
            too_large: refused("413"),
            too_many: refused("429"),
            unavailable: refused("503"),
            snapshots_refused: snapshots("refused"),
        }
    }

    /// Returns the counter of requests answered with `status`.
    pub(crate) fn refused(&self, status: u16) -> Metric {
        match status {
            413 => self.too_large,
            429 => self.too_many,
            503 => self.unavailable,
            _ => self.bad_request,
        }
    }

    /// Counts the requests answered with an error of any kind, over all workers.
    pub(crate) fn all_refused(&self) -> u64 {
        [self.bad_request, self.too_large, self.too_many, self.unavailable]
            .into_iter()
            .map(Metric::value)
            .sum()
    }
}
