//! The counters in Envoy's own stats: a handful without labels, enough to see trouble while the scraper
//! is away. Everything else is in the scraper's metrics (`stats`).

use std::time::Duration;

use picker_core::Instant;

use crate::host::Metric;

/// Time between two looks at what a VM has counted: the status page shows rates by the second.
const ADD_EVERY: Duration = Duration::from_millis(100);

/// The counters of one plugin instance. Envoy sums them over its workers.
pub(crate) struct Counters {
    picked: Metric,
    failed_open: Metric,
    refused: Metric,
    unavailable: Metric,
    unread: Metric,
    lost_messages: Metric,
    /// Bytes of bodies that are kept, on their way in or while their requests wait.
    pub(crate) body_bytes: Metric,
    /// Snapshots that were verified and stored.
    pub(crate) snapshots_stored: Metric,
    /// Pushes that were answered with an error.
    pub(crate) snapshots_refused: Metric,
    /// Parts of the exchange that were not for this gateway, not signed, unreadable, or older than the last.
    pub(crate) parts_refused: Metric,
    /// Session tokens that were not sealed by this gateway, or not for where they came.
    pub(crate) session_tokens_ignored: Metric,
}

/// Requests since the last look, for Envoy's own counters.
#[derive(Clone, Copy)]
pub(crate) struct Pending {
    /// Time of the last look.
    pub(crate) since: Instant,
    /// Requests that were given an endpoint.
    pub(crate) picked: u32,
    /// Requests that were let through without an endpoint.
    pub(crate) failed_open: u32,
    /// Requests that were answered with an error.
    pub(crate) refused: u32,
    /// Those of them that were answered 503.
    pub(crate) unavailable: u32,
    /// Requests by load whose API is known, as their bodies are compressed or in UTF-16.
    pub(crate) unread: u32,
    /// Messages to other workers that no worker can get any more.
    pub(crate) lost_messages: u32,
}

impl Counters {
    /// Defines all counters at once, so that a dashboard shows zeros and no gaps.
    pub(crate) fn define() -> Self {
        let counter = |name: &str| Metric::counter(&format!("llm_picker_envoy_{name}_total"));
        Self {
            picked: counter("picked"),
            failed_open: counter("failed_open"),
            refused: counter("refused"),
            unavailable: counter("unavailable"),
            unread: counter("unread"),
            lost_messages: counter("lost_messages"),
            body_bytes: Metric::gauge("llm_picker_envoy_body_bytes"),
            snapshots_stored: counter("snapshots_stored"),
            snapshots_refused: counter("snapshots_refused"),
            parts_refused: counter("parts_refused"),
            session_tokens_ignored: counter("session_tokens_ignored"),
        }
    }

    /// Adds what a VM has counted.
    pub(crate) fn add_pending(&self, pending: Pending) {
        self.picked.add(pending.picked);
        self.failed_open.add(pending.failed_open);
        self.refused.add(pending.refused);
        self.unavailable.add(pending.unavailable);
        self.lost_messages.add(pending.lost_messages);
        if pending.unread > 0 {
            self.unread.add(pending.unread);
            log::info!(
                "{} requests went by load, as their bodies are compressed or in UTF-16",
                pending.unread
            );
        }
    }

    /// Counts a message to another worker that no worker can get any more.
    pub(crate) fn count_lost_message(&self) {
        self.lost_messages.add(1);
    }

    /// Counts a request that passed unpicked, without a pool that would count it.
    pub(crate) fn count_failed_open(&self) {
        self.failed_open.add(1);
    }

    /// Counts a request that was answered with 503, without a pool that would count it.
    pub(crate) fn count_unavailable(&self) {
        self.refused.add(1);
        self.unavailable.add(1);
    }

    /// Reads the requests by their decisions, over all workers.
    pub(crate) fn decisions(&self) -> wire::report::Decisions {
        wire::report::Decisions {
            picked: self.picked.value(),
            failed_open: self.failed_open.value(),
            refused: self.refused.value(),
        }
    }
}

impl Pending {
    /// Takes what was counted, once in a while: a request costs no call of Envoy for it.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Self> {
        let is_due = now.saturating_since(self.since) >= ADD_EVERY;
        is_due.then(|| std::mem::replace(self, Self::since(now)))
    }

    /// Makes a count of nothing since this time.
    pub(crate) const fn since(since: Instant) -> Self {
        Self {
            since,
            picked: 0,
            failed_open: 0,
            refused: 0,
            unavailable: 0,
            unread: 0,
            lost_messages: 0,
        }
    }
}
