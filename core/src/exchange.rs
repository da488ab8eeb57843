//! Several gateways as one: what they tell each other through the scraper.
//!
//! The scraper is the exchange. Each gateway sends a [`GatewayReport`] up with its reply to a push,
//! and gets a [`GatewayPart`] down with the next one. [`ExchangeHub`] is the scraper's side, a pure
//! function of the reports; [`Others`] is what a gateway's workers know of the other gateways. No
//! gateway talks to another, and nothing is stored.
//!
//! - **Sums** of the others' requests, tokens and remaining prompt times are added to what a gateway
//!   counts itself. They expire after [`EXPIRES_AFTER`]: frozen sums would starve endpoints.
//! - **Turns**: a gateway is told of each push a moment after the one before it, so that it has what the
//!   others said since, and not what they said one push ago.
//! - **Shares**: sums are some 50 ms old all the same, so that all gateways would send to the endpoint
//!   that was idle. So each has an order of its own over the endpoints, and the farther one is down in it,
//!   the more of [`STALENESS`] it adds to that one's backlog.
//! - **Events** of placements are learnt by all. Each stream of events has sequence numbers
//!   ([`Outbox`], [`Inbox`]): a lost message repeats, and a duplicate is not learnt twice.
//! - **Credits** divide what the pool can take. The sum over all gateways of the larger of the credit
//!   that may be in force and the requests that may be in flight never passes the limit.
//!
//! Times in a report and in a part are by the clock of the machine that holds it: on the wire they
//! are ages.

mod credit;
mod events;
mod part;
mod report;
mod tenants;

mod credits;
mod kept;
mod targets;

mod hub;
mod others;
mod own;

use std::time::Duration;

pub use credit::{BandReserve, Credit};
pub use events::{EVENTS_MAX, EventBatch, Inbox, Outbox};
pub use hub::{ExchangeHub, GatewayStatus, ReportRefusal};
pub use others::{CreditLimit, Others};
pub use part::GatewayPart;
pub use report::{BandUse, EndpointUse, GatewayReport, TENANTS_MAX, TenantTokens};
pub use tenants::{TENANTS_KEPT_MAX, TenantTotal, TenantTotals};

/// Identifies a gateway for as long as its process lives. Random, never 0: one that starts anew is
/// another, with nothing in flight and no credit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatewayId(pub u64);

/// The most gateways of one exchange. Each has a part of its own in every push, and a sum over all
/// others is made for each.
pub const GATEWAYS_MAX: usize = 64;

/// Longest time between two pushes at which the exchange is worth having: at 250 ms a fifth of its
/// gain is lost, and at a second all.
pub const INTERVAL_MAX: Duration = Duration::from_millis(250);

/// Age above which sums, bands and tenants' tokens of others are ignored: three intervals at the
/// scraper's rhythm of 50 ms, so that two lost messages do no harm.
pub const EXPIRES_AFTER: Duration = Duration::from_millis(150);

/// Age of the sums at a decision: half an interval for which a report waits at the exchange, half an interval
/// until the next one, and the network. The backlog of endpoints counts as longer by this in the mean, times
/// the part of all requests that other gateways send; twice that at most. In the replay half of it costs bursts
/// of eight gateways 5 % more, and a fifth more costs two gateways with shared prefixes 4 %.
pub const STALENESS: Duration = Duration::from_millis(60);
