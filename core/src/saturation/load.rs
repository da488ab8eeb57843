//! The load of one endpoint.

use std::time::Duration;

use super::LearntLimit;
use crate::model::Roles;

/// Rounding errors of sums of hundredths stay below this.
const ROUNDING: f64 = 1e-9;

/// Share of the KV cache up to which requests are expected to grow: the rest is for answers that come out
/// longer than expected, which would take others' places.
const KV_FILL: f64 = 0.97;

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
    /// Prompt tokens of the requests in flight that were not cached.
    pub in_flight_tokens: u64,
    /// Share of the KV cache that the requests in flight are expected to take by their ends, beside what they find
    /// cached; above 1 where they would not fit all at once. 0 where the cache's size is not known.
    pub kv_to_come: f64,
    /// Seconds until it is expected to have computed the tokens in flight.
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

    /// Returns the requests that may still be sent there: within the learnt limit, and as far as the
    /// KV cache is expected to hold them to their ends. One always fits on an idle endpoint.
    pub(crate) fn free_places(&self) -> u32 {
        let Some(limit) = self.limit else { return u32::MAX - self.in_flight };
        let free = limit.places.saturating_sub(self.in_flight).min(self.places_in_cache(limit));
        if self.in_flight == 0 { free.max(1) } else { free }
    }

    /// Returns the seconds of prompts that a low band may add there; endless while it computes none.
    pub(crate) fn prompt_room(&self) -> f64 {
        let allowance = self.limit.map_or(f64::INFINITY, |limit| limit.allowance);
        if self.busy_for <= 0.0 { f64::INFINITY } else { allowance - self.busy_for }
    }

    /// Returns the number of requests of the usual size that the cache holds beside those in flight.
    ///
    /// Requests that began together reach their full size together; of those that began one after
    /// another, the old ones free as much as the young ones grow, and the page shows the most there
    /// will be. Between the two lies `all + prompts - used`, where `all` is what they end with.
    fn places_in_cache(&self, limit: LearntLimit) -> u32 {
        let all = self.kv_to_come;
        if all <= 0.0 || self.in_flight == 0 {
            return u32::MAX;
        }
        let each = all / f64::from(self.in_flight);
        let unseen = f64::from(self.sent_since.min(self.in_flight)) * each * limit.prompt_share;
        let used = if self.metrics_age.is_some() { self.kv_usage + unseen } else { 0.0 };
        let peak = used.max(all * (1.0 + limit.prompt_share) - used);
        whole((KV_FILL - peak) / each + ROUNDING)
    }
}

/// Returns the whole part of a number, 0 for what is below.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of a float saturates, which is what is meant"
)]
pub(super) fn whole(number: f64) -> u32 {
    number as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(in_flight: u32, places: u32) -> Load {
        let limit = LearntLimit { places, capacity: places, ..LearntLimit::default() };
        Load { in_flight, metrics_age: Some(Duration::ZERO), limit: Some(limit), ..Load::default() }
    }

    #[test]
    fn a_cache_is_filled_by_what_will_be_in_it_at_most() {
        let places = |in_flight: u32, each: f64, used: f64| {
            let learnt = LearntLimit { prompt_share: 0.5, ..load(0, 1_000).limit.unwrap() };
            let kv_to_come = each * f64::from(in_flight);
            let load =
                Load { kv_usage: used, kv_to_come, limit: Some(learnt), ..load(in_flight, 1_000) };
            load.free_places()
        };
        assert_eq!(places(50, 0.01, 0.25), 47, "all young: they will take all that they may");
        assert_eq!(places(97, 0.01, 0.485), 0);
        assert_eq!(places(97, 0.01, 0.7275), 24, "of all ages: the page shows the most there is");
        assert_eq!(places(97, 0.01, 0.97), 0);
        assert_eq!(places(1, 3.0, 0.0), 0, "one that does not fit leaves no room for a second");
        assert_eq!(places(0, 3.0, 0.9), 1_000, "and goes alone");
    }
}
