//! Saturation by the engines' own queues and caches.

use std::{str::FromStr, time::Duration};

use super::{Budget, Load, budget::Line, concurrency::count};
use crate::model::{Amounts, UnknownPolicy};

/// EPP: utilization-detector, with what it lacks: what was sent since the last scrape counts as
/// waiting, and a lost scrape leaves the ledger to go by.
///
/// An endpoint's score is `max(queue / queue_depth, kv_usage / kv_cache_util)`, the pool's
/// saturation the mean of them. `queue` is `waiting + credit`: the requests that all known gateways
/// have there and the engine had not seen. That is `in_flight - (waiting + running)`, or what was sent since
/// the page was read, if that is more: the former knows of a page's age nothing, and the latter
/// nothing of what an engine has not taken in yet.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "two settings of the plugin, any mix of which is legal"
)]
pub struct Utilization {
    /// Waiting requests at which an endpoint is full: 5. At least 1.
    pub queue_depth: u32,
    /// KV-cache usage at which it is full: 0.8. Above 0, at most 1.
    pub kv_cache_util: f64,
    /// Age beyond which metrics say nothing: 200 ms.
    pub metrics_staleness: Duration,
    /// By what share an endpoint may exceed the thresholds and still be picked: 0.
    pub headroom: f64,
    /// Treatment of stale metrics.
    pub staleness: Staleness,
    /// True if to count what was sent since the last scrape. Without, as in the EPP, nothing
    /// limits what is sent between two scrapes.
    pub in_flight_credit: bool,
    /// True if to count the cache that requests in flight are expected to take by their ends. An endpoint is
    /// full once they would not fit all at once, long before a page shows it.
    pub kv_to_come: bool,
}

/// The treatment of an endpoint of which the metrics are stale or missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Staleness {
    /// Go on by the ledger: what is in flight beyond what the batch last held waits, and the
    /// cache's usage falls as what was there ends. Nothing freezes when a scrape is lost, and
    /// nothing overshoots.
    #[default]
    Estimate,
    /// The endpoint counts as full (the EPP's default).
    Saturated,
    /// Leave it out; a pool of nothing else is idle (EPP v0.11).
    Ignore,
}

/// An endpoint's score and what it is the larger of.
#[derive(Clone, Copy, Debug)]
struct EndpointPressure {
    queue: f64,
    cache: f64,
    /// Growth of `cache` with one more request, where that is an estimate.
    growth: f64,
}

impl Default for Utilization {
    fn default() -> Self {
        Self {
            queue_depth: 5,
            kv_cache_util: 0.8,
            metrics_staleness: Duration::from_millis(200),
            headroom: 0.0,
            staleness: Staleness::default(),
            in_flight_credit: true,
            kv_to_come: true,
        }
    }
}

impl Utilization {
    /// Returns the detector as the EPP has it, for comparison.
    #[must_use]
    pub fn parity() -> Self {
        Self {
            staleness: Staleness::Saturated,
            in_flight_credit: false,
            kv_to_come: false,
            ..Self::default()
        }
    }

    /// Measures the budget, of which the number of requests follows from the same formula. `k`
    /// requests raise the mean over `n` endpoints most if all go to one endpoint, since a score is
    /// convex in its queue: by `(k / queue_depth - slack) / n`, where `slack` is by how much that
    /// endpoint's cache hides its queue. So the endpoint with the least slack gives the bound:
    ///
    /// `saturation(k) <= saturation + max(0, k / queue_depth - min slack) / n`
    ///
    /// The bound is exact for one endpoint. Over several it errs to the safe side, and finds out as
    /// soon as the loads are read again with those `k` in them. An endpoint with an estimated cache
    /// has no slack, and a request there adds what it adds to the estimate, if that is more.
    pub(super) fn room(&self, loads: &[Load]) -> Budget {
        let known =
            loads.iter().filter(|load| self.staleness != Staleness::Ignore || !self.is_stale(load));
        let mut sum = 0.0;
        let mut scored = 0;
        let mut slack = f64::INFINITY;
        let mut steepest = 1.0 / self.depth();
        for load in known {
            let EndpointPressure { queue, cache, growth } = self.score(load);
            sum += queue.max(cache);
            scored += 1;
            slack = slack.min(if growth > 0.0 { 0.0 } else { (cache - queue).max(0.0) });
            steepest = steepest.max(growth);
        }
        if scored == 0 {
            return Budget::measured(Line { by_pages: true, ..Line::default() });
        }
        let endpoints = count(scored);
        let per_request = if self.in_flight_credit { steepest / endpoints } else { 0.0 };
        Budget::measured(Line {
            saturation: sum / endpoints,
            slack: slack / endpoints,
            per_request,
            by_pages: true,
            ..Line::default()
        })
    }

    /// Returns the most requests that these endpoints take of all gateways: those that are known to be in
    /// flight, and those that there is room for beside them. None where nothing limits what is sent
    /// between two pages.
    pub(super) fn limits(&self, loads: &[Load]) -> Amounts {
        let places = self.room(loads).places(1.0);
        let in_flight: u64 = loads.iter().map(|load| u64::from(load.in_flight)).sum();
        let is_limited = places < u32::MAX;
        let requests = is_limited.then(|| in_flight.saturating_add(places.into()));
        Amounts { requests, tokens: None }
    }

    /// True if the endpoint should be sent more. As in the EPP, it has no headroom without fresh
    /// metrics, and no headroom lifts a cache beyond 1.
    pub(super) fn has_headroom(&self, load: &Load) -> bool {
        if self.is_stale(load) && self.staleness != Staleness::Estimate {
            return false;
        }
        let EndpointPressure { queue, cache, .. } = self.score(load);
        let limit = 1.0 + self.headroom;
        queue < limit && cache < limit.min(1.0 / self.kv_cache_util)
    }

    /// True if the endpoint's metrics are too old to go by, or missing.
    #[must_use]
    pub fn is_stale(&self, load: &Load) -> bool {
        load.metrics_age.is_none_or(|age| age > self.metrics_staleness)
    }

    /// Scores an endpoint. What requests in flight will take counts against the whole cache and not against
    /// the threshold, which leaves room for what they grow by.
    fn score(&self, load: &Load) -> EndpointPressure {
        let now = self.score_now(load);
        if !self.kv_to_come || load.kv_to_come <= now.cache {
            return now;
        }
        let growth = load.kv_to_come / f64::from(load.in_flight.max(1));
        // With one more request the estimate may be the larger of the two.
        let growth = growth.max(now.growth);
        EndpointPressure { cache: load.kv_to_come, growth, ..now }
    }

    fn score_now(&self, load: &Load) -> EndpointPressure {
        if !self.is_stale(load) {
            let credit = if self.in_flight_credit { load.unseen() } else { 0 };
            let queue = f64::from(load.waiting.saturating_add(credit)) / self.depth();
            return EndpointPressure {
                queue,
                cache: load.kv_usage / self.kv_cache_util,
                growth: 0.0,
            };
        }
        match self.staleness {
            Staleness::Saturated | Staleness::Ignore => {
                EndpointPressure { queue: 1.0, cache: 1.0, growth: 0.0 }
            }
            Staleness::Estimate => self.estimate(load),
        }
    }

    fn estimate(&self, load: &Load) -> EndpointPressure {
        let (running, then) = match load.metrics_age {
            Some(_) => (load.running, load.running.saturating_add(load.waiting)),
            None => (0, 0),
        };
        let queue = f64::from(load.in_flight.saturating_sub(running)) / self.depth();
        let growth = load.kv_usage / f64::from(then.max(1)) / self.kv_cache_util;
        let growth = if then == 0 { 0.0 } else { growth };
        EndpointPressure { queue, cache: f64::from(load.in_flight.min(then)) * growth, growth }
    }

    fn depth(&self) -> f64 {
        f64::from(self.queue_depth.max(1))
    }
}

impl Staleness {
    /// Every name there is.
    pub const NAMES: [&str; 3] = ["estimate", "saturated", "ignore"];

    /// Returns the name of it, as configurations have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Estimate => "estimate",
            Self::Saturated => "saturated",
            Self::Ignore => "ignore",
        }
    }
}

impl FromStr for Staleness {
    type Err = UnknownPolicy;

    fn from_str(name: &str) -> Result<Self, UnknownPolicy> {
        match name {
            "estimate" => Ok(Self::Estimate),
            "saturated" => Ok(Self::Saturated),
            "ignore" => Ok(Self::Ignore),
            _ => Err(UnknownPolicy::new("staleness policy", name, &Self::NAMES)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saturation::Detector;

    /// Returns the places on one endpoint, whose page shows so many requests of others, beside `own`
    /// that were sent since the page was read.
    fn places(others: u32, own: u32) -> u32 {
        let load = Load {
            running: others,
            metrics_age: Some(Duration::from_millis(20)),
            in_flight: own,
            sent_since: own,
            ..Load::default()
        };
        Detector::default().room(&[load]).places(1.0)
    }

    /// Ten long answers fill the cache, of which the page shows the prompts.
    #[test]
    fn what_requests_will_take_counts_from_their_start() {
        let load = |in_flight: u32, kv_to_come: f64| Load {
            running: in_flight,
            kv_usage: 0.1,
            metrics_age: Some(Duration::from_millis(20)),
            in_flight,
            kv_to_come,
            ..Load::default()
        };
        let places =
            |detector: Utilization, load| Detector::Utilization(detector).room(&[load]).places(1.0);
        let ours = Utilization::default();
        assert_eq!(places(ours, load(10, 0.05)), 5, "less than the page shows");
        let found = [0.5, 0.9, 0.99, 1.0, 1.5].map(|to_come| places(ours, load(10, to_come)));
        assert_eq!(found, [3, 1, 1, 0, 0], "a request takes a tenth of what ten take");
        assert_eq!(places(Utilization { kv_to_come: false, ..ours }, load(10, 1.5)), 5);
        assert_eq!(places(ours, load(0, 0.0)), 5, "whatever its length, one request always fits");
        assert!(!ours.has_headroom(&load(10, 1.0)) && ours.has_headroom(&load(10, 0.9)));
    }

    #[test]
    fn requests_of_others_hide_none_of_those_sent_since() {
        for others in [0, 20] {
            let found = [0, 1, 4, 5, 9].map(|own| places(others, own));
            assert_eq!(found, [5, 4, 1, 0, 0], "beside {others} of others");
        }
    }
}
