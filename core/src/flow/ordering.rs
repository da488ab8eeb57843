//! The order of requests within a flow.

use std::str::FromStr;

use super::{Ticket, Ttl, rank::Rank};
use crate::model::UnknownPolicy;

/// The order of the requests within one flow, and, under the global strict fairness policy, within
/// a band.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OrderingPolicy {
    /// By first arrival, on whichever worker (`fcfs-ordering-policy`).
    #[default]
    Fcfs,
    /// By arrival plus time to live; those without one last (`edf-ordering-policy`).
    Edf,
    /// By arrival plus the time to first token asked for; those that ask for none last
    /// (`slo-deadline-ordering-policy`).
    SloDeadline,
}

impl OrderingPolicy {
    /// Every name there is.
    pub const NAMES: &[&str] =
        &["fcfs-ordering-policy", "edf-ordering-policy", "slo-deadline-ordering-policy"];

    /// Returns the EPP's name of it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fcfs => "fcfs-ordering-policy",
            Self::Edf => "edf-ordering-policy",
            Self::SloDeadline => "slo-deadline-ordering-policy",
        }
    }

    /// Returns the place of a ticket that may wait for `ttl`; equal deadlines go by arrival.
    pub(super) fn rank(self, ticket: &Ticket, ttl: Ttl) -> Rank {
        let deadline = match self {
            Self::Fcfs => Some(ticket.arrived),
            Self::Edf => ttl.deadline(ticket.arrived),
            Self::SloDeadline => ticket.slo_ttft.map(|slo| ticket.arrived + slo),
        };
        Rank {
            first: deadline.map_or(u64::MAX, crate::model::Instant::as_nanos),
            second: ticket.arrived.as_nanos(),
            id: ticket.id,
        }
    }
}

impl FromStr for OrderingPolicy {
    type Err = UnknownPolicy;

    fn from_str(name: &str) -> Result<Self, UnknownPolicy> {
        [Self::Fcfs, Self::Edf, Self::SloDeadline]
            .into_iter()
            .find(|policy| policy.name() == name)
            .ok_or_else(|| UnknownPolicy::new("ordering policy", name, Self::NAMES))
    }
}
