//! The state of one endpoint of the pool, as snapshots and answers describe it.

use std::{net::SocketAddr, time::Duration};

use super::Slot;
use crate::{
    ledger::Sends,
    model::{Adapters, CacheConfig, Endpoint, Health, Incarnation, Instant, Role, Roles},
    saturation,
};

/// An endpoint, as far as a pick needs to know it.
#[derive(Clone, Debug)]
pub(crate) struct EndpointState {
    pub(crate) address: SocketAddr,
    pub(crate) slot: Slot,
    /// Tokens that its cache holds, if it says so.
    pub(crate) cache_tokens: Option<u64>,
    pub(crate) health: Health,
    /// Sorted by key.
    labels: Vec<(String, String)>,
    /// By its label.
    pub(crate) roles: Roles,
    pub(crate) adapters: Option<Adapters>,
    /// Custom metrics by their keys; few, so that they are looked through.
    attributes: Vec<(String, f64)>,
    pub(super) read: Option<Reading>,
    pub(crate) incarnation: Incarnation,
    /// Multiple of [`STALENESS`](crate::exchange::STALENESS) by which its backlog counts as longer.
    pub(super) unheard_share: f64,
}

/// Metrics, and when they were read by our clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) at: Instant,
    pub(super) gauges: EngineLoad,
}

/// The part of [`crate::Metrics`] that plugins read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct EngineLoad {
    /// Requests that wait for a slot in the batch, with those sent since the scrape.
    pub(crate) waiting: u32,
    /// Requests in the batch.
    pub(crate) running: u32,
    /// KV-cache blocks that live requests hold, as a share of all.
    pub(crate) kv_usage: f32,
}

impl EndpointState {
    pub(super) fn new(endpoint: Endpoint, slot: Slot, received_at: Instant) -> Self {
        let Endpoint { address, health, metrics, labels, incarnation } = endpoint;
        let read = metrics.as_ref().map(|metrics| Reading {
            at: received_at.saturating_before(metrics.age),
            gauges: EngineLoad {
                waiting: metrics.waiting,
                running: metrics.running,
                // NaN, which is larger than nothing and smaller than nothing, becomes zero.
                kv_usage: metrics.kv_usage.max(0.0),
            },
        });
        let cache = metrics.as_ref().and_then(|metrics| metrics.cache);
        let (adapters, attributes) =
            metrics.map_or((None, Vec::new()), |metrics| (metrics.adapters, metrics.attributes));
        let mut member = Self {
            address,
            slot,
            cache_tokens: cache.and_then(CacheConfig::tokens),
            health,
            labels,
            roles: Roles::default(),
            adapters,
            attributes,
            read,
            incarnation,
            unheard_share: 0.0,
        };
        member.roles = Roles::from_label(member.label(Role::LABEL));
        member
    }

    /// Returns the value of one of the pod's labels.
    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        let place = self.labels.binary_search_by(|(other, _)| other.as_str().cmp(key)).ok()?;
        self.labels.get(place).map(|(_, value)| value.as_str())
    }

    /// Returns a custom metric, however old.
    pub(crate) fn attribute(&self, key: &str) -> Option<f64> {
        let found = self.attributes.iter().find(|(other, _)| other == key);
        found.map(|(_, value)| *value)
    }

    /// True if the endpoint is up and its metrics were never read, or cannot be.
    pub(crate) fn is_unread(&self) -> bool {
        self.health == Health::Up && self.read.is_none()
    }

    /// Returns the age of the endpoint's metrics, if they were ever read.
    pub(crate) fn age(&self, now: Instant) -> Option<Duration> {
        self.read.map(|read| now.saturating_since(read.at))
    }

    /// Returns the share of the endpoint's cache that so many tokens take; 0 where its size is not known.
    pub(crate) fn cache_share(&self, held: u32) -> f64 {
        self.cache_tokens.map_or(0.0, |tokens| f64::from(held) / tokens as f64)
    }

    /// Returns the number of sends since the endpoint's metrics were read.
    pub(crate) fn sent_since(&self, now: Instant, sends: Sends) -> u32 {
        self.read.map_or(0, |read| sends.since(read.at, now))
    }

    /// Returns the endpoint's numbers if they are fresh, where requests that the engine had not seen
    /// when they were read count as waiting: otherwise all that arrives between two scrapes would go to
    /// the same shortest queue.
    pub(super) fn gauges(
        &self,
        now: Instant,
        stale_after: Duration,
        in_flight: u32,
        sent_since: u32,
    ) -> Option<EngineLoad> {
        let Reading { at, gauges } = self.read?;
        let EngineLoad { waiting, running, .. } = gauges;
        let load =
            saturation::Load { waiting, running, in_flight, sent_since, ..Default::default() };
        let waiting = waiting.saturating_add(load.unseen());
        (now.saturating_since(at) < stale_after).then_some(EngineLoad { waiting, ..gauges })
    }

    /// Returns the load for a saturation detector, without what is in flight.
    pub(crate) fn carries(&self, now: Instant, quiet_for: Duration) -> saturation::Load {
        let metrics_age = self.age(now).map(|age| age.saturating_sub(quiet_for));
        let gauges = self.read.map(|read| read.gauges);
        saturation::Load {
            waiting: gauges.map_or(0, |gauges| gauges.waiting),
            running: gauges.map_or(0, |gauges| gauges.running),
            kv_usage: gauges.map_or(0.0, |gauges| f64::from(gauges.kv_usage)),
            metrics_age,
            in_flight: 0,
            sent_since: 0,
            in_flight_tokens: 0,
            kv_to_come: 0.0,
            busy_for: 0.0,
            limit: None,
            roles: self.roles,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Returns a member with these labels, of which nothing else is known.
    pub(crate) fn member(labels: &[(&str, &str)]) -> EndpointState {
        let mut labels: Vec<(String, String)> =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        labels.sort_unstable();
        let address = SocketAddr::from(([10, 0, 0, 1], 8000));
        let endpoint = Endpoint {
            address,
            health: Health::Up,
            metrics: None,
            labels,
            incarnation: Incarnation::default(),
        };
        EndpointState::new(endpoint, Slot(0), Instant::default())
    }

    /// Returns a member with this custom metric, if it has it.
    pub(crate) fn measured(key: &str, value: Option<f64>) -> EndpointState {
        let attributes = value.map(|value| (key.to_owned(), value)).into_iter().collect();
        EndpointState { attributes, ..member(&[]) }
    }

    #[test]
    fn a_role_is_read_from_its_label() {
        let prefills = member(&[(Role::LABEL, "prefill")]).roles;
        assert_eq!(Role::ALL.map(|role| prefills.contains(role)), [false, true, false]);
        assert_eq!(member(&[]).roles, Roles::default());
    }
}
