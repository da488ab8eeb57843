//! The choice of the band that goes first.

use std::{collections::BTreeMap, str::FromStr};

use crate::model::{Priority, UnknownPolicy};

/// The policy by which bands share the pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BandSelectionPolicy {
    /// The highest in which a request waits and that may send (`strict-band-selection-policy`).
    #[default]
    Strict,
    /// The same, except that each band that waits gets at least its floor
    /// (`weighted-band-selection-policy`).
    Weighted(Floors),
}

/// The share of dispatches that a band is sure of.
///
/// A dispatch owes every band that waits and may send its share of that one dispatch; a band that
/// is owed a whole one, the most first, goes before higher bands. Shares that add up to more than
/// everything are scaled down.
///
/// Bound: over any `d` dispatches during which a band always waits and may send, it gets at least
/// `d * share - n` of them, `n` being the number of bands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Floors {
    /// For bands that are not named.
    pub default: Share,
    /// For those that are.
    pub bands: BTreeMap<Priority, Share>,
}

/// A share of the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

impl BandSelectionPolicy {
    /// Every name there is.
    pub const NAMES: &[&str] = &["strict-band-selection-policy", "weighted-band-selection-policy"];

    /// Returns the EPP's name of it, or ours in its style.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Strict => "strict-band-selection-policy",
            Self::Weighted(_) => "weighted-band-selection-policy",
        }
    }
}

impl FromStr for BandSelectionPolicy {
    type Err = UnknownPolicy;

    fn from_str(name: &str) -> Result<Self, UnknownPolicy> {
        [Self::Strict, Self::Weighted(Floors::default())]
            .into_iter()
            .find(|policy| policy.name() == name)
            .ok_or_else(|| UnknownPolicy::new("band selection policy", name, Self::NAMES))
    }
}

impl Default for Floors {
    /// Returns one dispatch in twenty: enough that a band is not starved, little to the bands
    /// above.
    fn default() -> Self {
        Self { default: Share::clamped(0.05), bands: BTreeMap::new() }
    }
}

impl Floors {
    pub(super) fn for_band(&self, band: Priority) -> u64 {
        u64::from(self.bands.get(&band).unwrap_or(&self.default).0)
    }
}

impl Share {
    /// The parts of a whole: whole numbers add up the same everywhere, and a millionth is finer
    /// than any configuration.
    pub(super) const WHOLE: u32 = 1_000_000;

    /// The share nearest to `share` between 0 and 1; NaN is 0.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and a million after the clamp, and NaN becomes 0"
    )]
    pub fn clamped(share: f64) -> Self {
        Self((share.clamp(0.0, 1.0) * f64::from(Self::WHOLE)).round() as u32)
    }
}
