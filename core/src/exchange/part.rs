//! The part of a push that is for one gateway alone.

use super::{Credit, EndpointUse, EventBatch, GatewayId, TenantTokens};
use crate::model::Priority;

/// The knowledge of all other gateways that the exchange gives one of them, for one pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayPart {
    /// The gateway that it is for: another one refuses it.
    pub gateway: GatewayId,
    /// Epoch of the exchange: a gateway that has heard of a higher one refuses the part.
    pub epoch: u64,
    /// Number of the part: grows with each one for a gateway. An older one that comes late is refused.
    pub number: u64,
    /// Sequence number of the next event that the exchange expects of this gateway.
    pub next_event: u64,
    /// Sums of the others' loads, by ascending keys, each endpoint once. At most
    /// [`ENDPOINTS_MAX`](crate::ENDPOINTS_MAX).
    pub endpoints: Vec<EndpointUse>,
    /// The others' placement events that this gateway has not acknowledged. Their stream begins anew
    /// with each epoch.
    pub events: EventBatch,
    /// All gateways that live, this one included, in ascending order. At most
    /// [`GATEWAYS_MAX`](super::GATEWAYS_MAX).
    pub gateways: Vec<GatewayId>,
    /// The credit offered. `None` leaves in force what is in force; a gateway that has none then
    /// sends nothing that flow control could hold.
    pub credit: Option<Credit>,
    /// The highest band in which requests wait at another gateway.
    pub highest_waiting: Option<Priority>,
    /// Tokens that tenants were charged elsewhere, the highest first. At most
    /// [`TENANTS_MAX`](super::TENANTS_MAX).
    pub tenants: Vec<TenantTokens>,
}
