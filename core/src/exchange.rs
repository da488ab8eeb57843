//! Several gateways as one: what they tell each other through the scraper.
//!
//! The scraper is the exchange. Each gateway sends a [`GatewayReport`] up with its reply to a push,
//! and gets a [`GatewayPart`] down with the next one. [`ExchangeHub`] is the scraper's side, a pure
//! function of the reports; [`Others`] is what a gateway's workers know of the other gateways. No
//! gateway talks to another, and nothing is stored.
//!
//! - **Sums** of the others' requests, tokens and remaining prompt times are added to what a gateway
//!   counts itself. They expire after [`EXPIRES_AFTER`]: frozen sums would starve endpoints.
//! - **Shares**: sums are up to two intervals old, so that all gateways would send to the endpoint
//!   that was idle. Each endpoint is some gateway's own by a hash, and every other gateway adds
//!   [`STALENESS`] to its backlog.
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

/// Mean age of the sums at a decision: half an interval, and the interval for which a report waits at
/// the exchange. The backlog of an endpoint that is another gateway's own counts as this much longer.
/// From 20 to 200 ms is all good; 600 ms is too much.
pub const STALENESS: Duration = Duration::from_millis(60);
