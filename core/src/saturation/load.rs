//! The load of one endpoint.

use std::time::Duration;

use super::adaptive::LearntLimit;
use crate::model::Roles;

/// An endpoint's load: what its engine reported, and what the ledger counts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Requests that wait for a slot in the engine's batch, at the last scrape.
    pub waiting: u32,
    /// Requests in the batch, at the last scrape.
    pub running: u32,
    /// The share of the KV cache that live requests hold, 0 to 1, at the last scrape.
    pub kv_usage: f64,
    /// Age of the scrape; `None` if there was none yet, and then the three above say nothing.
    pub metrics_age: Option<Duration>,
    /// Requests in flight, of all gateways as far as they are known.
    pub in_flight: u32,
    /// Requests that this gateway sent since the scrape itself was read, whether they have ended or not.
    pub sent_since: u32,
    /// Prompt tokens of those requests that were not cached.
    pub in_flight_tokens: u64,
    /// Share of the KV cache that those requests are expected to take by their ends, beside what they find
    /// cached; above 1 where they would not fit all at once. 0 where the cache's size is not known.
    pub kv_to_come: f64,
    /// Seconds until it is expected to have computed those tokens.
    pub busy_for: f64,
    /// The limit that was learnt of it; `None` where the detector asks for none.
    pub limit: Option<LearntLimit>,
    /// The stages of a request that it takes part in.
    pub roles: Roles,
}

impl Load {
    /// Returns the requests that were sent and that the scrape does not show. Other gateways' requests
    /// on the page can hide those in flight, and never those that were sent since.
    pub(crate) fn unseen(&self) -> u32 {
        let shown = self.waiting.saturating_add(self.running);
        self.in_flight.saturating_sub(shown).max(self.sent_since.min(self.in_flight))
    }

    /// True if the endpoint counts for prompts that are computed apart.
    pub(crate) fn prefills(&self) -> bool {
        self.roles.prefills()
    }

    /// True if the endpoint counts for answers.
    pub(crate) fn decodes(&self) -> bool {
        self.roles.decodes()
    }
}
