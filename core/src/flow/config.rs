//! The settings of flow control.

use std::{collections::BTreeMap, time::Duration};

use super::{
    BandSelectionPolicy, Eviction, FairnessPolicy, Limits, OrderingPolicy, Ttl, UsageLimitPolicy,
};
use crate::model::Priority;

/// The `flowControl` section of the EPP's configuration, with its policies in place of their
/// names.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowConfig {
    /// For all bands together; none by default.
    pub limits: Limits,
    /// Time that a request may wait while the pool has endpoints: 60 s.
    pub default_ttl: Ttl,
    /// Time that a request may wait while the pool has none; as `default_ttl` if not given.
    pub no_endpoint_ttl: Option<Ttl>,
    /// Bands that always exist; at most [`BANDS_MAX`](super::BANDS_MAX). Priority 0 is added from
    /// the template if it is not here.
    pub bands: BTreeMap<Priority, BandConfig>,
    /// The template of bands that objectives ask for.
    pub default_band: BandConfig,
    /// The template of bands below priority 0; `default_band` if not given.
    pub default_negative_band: Option<BandConfig>,
    /// Limits on the pool's saturation, by band.
    pub usage_limit: UsageLimitPolicy,
    /// The choice of the band that goes first.
    pub band_selection: BandSelectionPolicy,
    /// True if a request that finds all bands together full may take the place of the newest of
    /// the lowest band below its own. The EPP has no such thing, and turns it away.
    pub displace: bool,
    /// The requests that may be ended while they run, where more important ones find no room.
    pub eviction: Eviction,
}

/// The settings of one priority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BandConfig {
    /// 5,000 requests and a gigabyte.
    pub limits: Limits,
    /// In place of the `default_ttl` of all bands.
    pub default_ttl: Option<Ttl>,
    /// The policy by which its flows share it.
    pub fairness: FairnessPolicy,
    /// The order of the requests within a flow.
    pub ordering: OrderingPolicy,
}

impl Default for FlowConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            default_ttl: Ttl::Within(Duration::from_secs(60)),
            no_endpoint_ttl: None,
            bands: BTreeMap::new(),
            default_band: BandConfig::default(),
            default_negative_band: None,
            usage_limit: UsageLimitPolicy::default(),
            band_selection: BandSelectionPolicy::default(),
            displace: false,
            eviction: Eviction::default(),
        }
    }
}

impl Default for BandConfig {
    fn default() -> Self {
        Self {
            limits: Limits { max_requests: Some(5_000), max_bytes: Some(1_000_000_000) },
            default_ttl: None,
            fairness: FairnessPolicy::default(),
            ordering: OrderingPolicy::default(),
        }
    }
}

impl FlowConfig {
    /// True if any band shares by tokens, so that what a model wrote has to be counted.
    #[must_use]
    pub fn charges_tokens(&self) -> bool {
        let templates = [Some(&self.default_band), self.default_negative_band.as_ref()];
        let bands = self.bands.values().chain(templates.into_iter().flatten());
        bands.into_iter().any(|band| band.fairness.charges_tokens())
    }

    /// Returns the settings of a band.
    #[must_use]
    pub fn band(&self, priority: Priority) -> &BandConfig {
        self.bands.get(&priority).unwrap_or_else(|| self.template(priority))
    }

    /// Returns the settings of a band that is not configured by name.
    pub(super) fn template(&self, priority: Priority) -> &BandConfig {
        let negative = self.default_negative_band.as_ref();
        negative.filter(|_| priority < Priority(0)).unwrap_or(&self.default_band)
    }

    /// Returns the time that a request of that band may wait while the pool has endpoints.
    pub(super) fn ttl(&self, band: &BandConfig, asked: Option<Duration>) -> Ttl {
        band.default_ttl.unwrap_or(self.default_ttl).shortened_by(asked)
    }
}
