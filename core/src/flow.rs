//! Flow control: holds requests back while the pool is saturated, and decides which goes next.
//!
//! Requests wait in flows, one per tenant and priority; flows of one priority form a band. The
//! [`Controller`] holds all of them for one pool: the VM that is the arbiter feeds it the tickets
//! of every worker. A dispatch asks, in this order: which bands may send at this saturation
//! ([`UsageLimitPolicy`]), which of those goes first ([`BandSelectionPolicy`]), which of its flows
//! ([`FairnessPolicy`]), and which request of that flow ([`OrderingPolicy`]).
//!
//! Every queue is an ordered set over dense ids, so an offer, a dispatch or a cancellation costs
//! the logarithm of what waits, never a pass over it.

mod config;
mod eviction;
mod fairness;
mod key;
mod ordering;
mod outcome;
mod selection;
mod ticket;
mod ttl;
mod usage_limit;

mod band;
mod bands;
mod controller;
mod deadlines;
mod flow_queue;
mod rank;
mod recent_wait;
mod slab;
mod usage;

pub use crate::{
    ledger::PhaseKind,
    model::{Priority, UnknownPolicy},
};
pub use bands::{BANDS_MAX, BandSize, FlowSize, Passage};
pub use config::{BandConfig, FlowConfig};
pub use controller::{Controller, Offer, WAITING_MAX};
pub use eviction::Eviction;
pub use fairness::{FairnessPolicy, FairnessWeight, TokenCost};
pub use key::{FairnessId, FlowKey};
pub use ordering::OrderingPolicy;
pub use outcome::{Outcome, Refusal, Rejection};
pub use selection::{BandSelectionPolicy, Floors, Share};
pub use ticket::{Ticket, TicketId};
pub use ttl::Ttl;
pub use usage::{Limits, Usage};
pub use usage_limit::{Domain, Holdback, InvalidCeiling, UsageLimitKind, UsageLimitPolicy};
