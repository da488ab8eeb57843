//! The report of one gateway on one pool, for the exchange.

use std::time::Duration;

use super::{Credit, EventBatch, GatewayId};
use crate::{
    flow::FlowKey,
    ledger::EndpointKey,
    model::{Amounts, Priority},
};

/// The most tenants of one report and of one part: the others together use less than any of them.
pub const TENANTS_MAX: usize = 64;

/// A gateway's own counts of one pool, at the moment of its reply to a push.
///
/// All counts are totals and no changes, so that a lost report costs one interval and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayReport {
    /// The gateway.
    pub gateway: GatewayId,
    /// Number of the report: grows with each one of a gateway. An older one that comes late is
    /// ignored.
    pub number: u64,
    /// The highest epoch of an exchange that the gateway has heard of; 0 before the first.
    pub epoch: u64,
    /// Number of the last part that it took in that epoch; 0 before the first.
    pub taken: u64,
    /// Own load on each endpoint, by ascending keys, each once. At most
    /// [`ENDPOINTS_MAX`](crate::ENDPOINTS_MAX).
    pub endpoints: Vec<EndpointUse>,
    /// Placement events of its workers that the exchange has not acknowledged.
    pub events: EventBatch,
    /// Sequence number of the next event that it expects of the exchange in this epoch.
    pub next_event: u64,
    /// Bands in the order of falling priorities, each once. At most
    /// [`BANDS_MAX`](crate::flow::BANDS_MAX).
    pub bands: Vec<BandUse>,
    /// Tokens that its tenants were charged, the highest first. At most [`TENANTS_MAX`].
    pub tenants: Vec<TenantTokens>,
    /// The most that the pool takes of all gateways, by its detector and the newest snapshot that it
    /// has. `None` by a measure that the detector does not limit or that no worker has measured yet.
    pub limits: Amounts,
    /// Own load by each measure, granted places included.
    pub used: Amounts,
    /// The credit that it goes by; `None` before the first.
    pub credit: Option<Credit>,
}

/// The load of a gateway on one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointUse {
    /// The endpoint.
    pub endpoint: EndpointKey,
    /// Requests in flight.
    pub requests: u32,
    /// Uncached prompt tokens in flight, until the first content of each answer.
    pub tokens: u32,
    /// Time until the endpoint is expected to have computed them.
    pub busy_for: Duration,
}

/// The requests of one band at one gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BandUse {
    /// The band's priority.
    pub priority: Priority,
    /// Requests that wait.
    pub waiting: u32,
    /// Time for which the oldest of them has waited.
    pub oldest: Duration,
    /// Requests in flight.
    pub in_flight: u32,
    /// Requests that have arrived since the gateway started.
    pub arrivals: u64,
}

/// The tokens that a tenant was charged in one band, where tenants share by tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantTokens {
    /// The tenant and the band.
    pub flow: FlowKey,
    /// Tokens by their prices and the tenant's weight, in the unit of
    /// [`Controller::take_charges`](crate::flow::Controller::take_charges). A total, which may begin anew.
    pub tokens: u64,
}

impl EndpointUse {
    /// Adds what another gateway has there. Prompts of several gateways are computed one after the
    /// other, so times add up.
    pub fn add(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.tokens = self.tokens.saturating_add(other.tokens);
        self.busy_for = self.busy_for.saturating_add(other.busy_for);
    }
}
