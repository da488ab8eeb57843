//! The report of a gateway, made of what its workers share.

use std::time::Duration;

use super::{BandUse, EndpointUse, GatewayReport, Others};
use crate::{
    ledger::{Account, BandCount, BandCounts, Heartbeat, Ledger, MeasuredLimits},
    model::{Amounts, Instant},
};

/// Age above which the limits that a worker measured are ignored: pages have changed since. A worker that
/// serves measures them with every snapshot.
const LIMITS_AGE_MAX: Duration = Duration::from_millis(250);

impl GatewayReport {
    /// Makes the report of what a pool's shared store holds: the ledger, the heartbeats of its members, and
    /// what is known of the other gateways. Name, number, events and tenants are for the caller to add.
    #[must_use]
    pub fn of_store<'a>(
        now: Instant,
        ledger: &Ledger,
        heartbeats: impl IntoIterator<Item = &'a Heartbeat>,
        others: Option<&Others>,
    ) -> Self {
        let mut bands = Vec::new();
        let mut limits = MeasuredLimits::default();
        for heartbeat in heartbeats {
            bands.extend(heartbeat.bands.iter().copied());
            if heartbeat.limits.at > limits.at {
                limits = heartbeat.limits;
            }
        }
        let bands: BandCounts = bands.into_iter().collect();
        let is_recent = now.saturating_since(limits.at) <= LIMITS_AGE_MAX;
        let part = others.map(Others::part);
        Self {
            epoch: part.map_or(0, |part| part.epoch),
            taken: part.map_or(0, |part| part.number),
            endpoints: ledger.accounts.iter().map(|it| EndpointUse::of_account(now, it)).collect(),
            bands: bands.iter().map(|band| BandUse::of_count(now, band)).collect(),
            limits: if is_recent { limits.amounts } else { Amounts::default() },
            used: ledger.used(),
            credit: others.and_then(|others| others.credit().cloned()),
            ..Self::default()
        }
    }
}

impl BandUse {
    fn of_count(now: Instant, count: &BandCount) -> Self {
        let BandCount { priority, waiting, in_flight, arrivals, oldest } = *count;
        let waited = (waiting > 0).then(|| now.saturating_since(oldest));
        Self { priority, waiting, oldest: waited.unwrap_or_default(), in_flight, arrivals }
    }
}

impl EndpointUse {
    fn of_account(now: Instant, account: &Account) -> Self {
        let Account { endpoint, requests, tokens, free_at, .. } = *account;
        Self { endpoint, requests, tokens, busy_for: free_at.saturating_since(now) }
    }
}
