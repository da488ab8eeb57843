//! What this plugin counts, in Envoy's own stats.

use crate::host::Counter;

/// The counters of one plugin instance. Envoy sums them over its workers.
#[derive(Debug)]
pub(crate) struct Stats {
    /// Requests that were given an endpoint.
    pub(crate) picked: Counter,
    /// Requests let through without one, because there was nothing to pick from.
    pub(crate) failed_open: Counter,
    /// Snapshots that were verified and stored.
    pub(crate) snapshots_stored: Counter,
    bad_request: Counter,
    too_large: Counter,
    unavailable: Counter,
    /// Pushes that were answered with an error.
    pub(crate) snapshots_refused: Counter,
}

impl Stats {
    /// Defines them all, so that a dashboard shows zeros and no gaps. A label is part of the name
    /// until Envoy's stats tags take it out: see envoy/local/.
    pub(crate) fn define() -> Self {
        let refused = |code: &str| Counter::named(&format!("llm_picker_refused_total.code={code}"));
        let snapshots = |outcome: &str| {
            Counter::named(&format!("llm_picker_snapshots_total.outcome={outcome}"))
        };
        Self {
            picked: Counter::named("llm_picker_picked_total"),
            failed_open: Counter::named("llm_picker_failed_open_total"),
            snapshots_stored: snapshots("stored"),
            bad_request: refused("400"),
            too_large: refused("413"),
            unavailable: refused("503"),
            snapshots_refused: snapshots("refused"),
        }
    }

    /// The counter of requests answered with `status`.
    pub(crate) fn refused(&self, status: u16) -> Counter {
        match status {
            413 => self.too_large,
            503 => self.unavailable,
            _ => self.bad_request,
        }
    }
}
