//! The ceilings of saturation, above which a band has to wait.

mod holdback;

use std::str::FromStr;

pub use holdback::{Domain, Holdback, InvalidCeiling};

use crate::model::{Priority, UnknownPolicy};

/// Sets each band's ceiling: it may send while the pool's saturation is below. A band at its
/// ceiling is skipped, and does not hold up those after it (EPP v0.11).
#[derive(Clone, Debug, PartialEq)]
pub enum UsageLimitPolicy {
    /// The same ceiling for all.
    Static {
        /// A saturation; the EPP's default is 1.
        threshold: f64,
    },
    /// Lower bands stop earlier, so that capacity is held back for higher ones.
    PriorityHoldback(Holdback),
    /// Lower bands slow down as saturation rises: band `i` of `n`, from the highest, is free below
    /// `1 - i * saturation / (n - 1)`, and above it is let through once in
    /// `round(saturation / (1 - saturation))` times that it could go.
    SoftReflectiveCeiling,
}

/// The types of usage limit policy. Some need parameters, so a name alone does not make a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageLimitKind {
    /// Makes a [`UsageLimitPolicy::Static`].
    Static,
    /// Makes a [`UsageLimitPolicy::PriorityHoldback`].
    PriorityHoldback,
    /// Makes a [`UsageLimitPolicy::SoftReflectiveCeiling`].
    SoftReflectiveCeiling,
}

/// The place of one band among all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    pub(super) priority: Priority,
    /// Bands above it.
    pub(super) rank: u32,
    /// All bands.
    pub(super) bands: u32,
    pub(super) highest: Priority,
    pub(super) lowest: Priority,
}

impl Default for UsageLimitPolicy {
    fn default() -> Self {
        Self::Static { threshold: 1.0 }
    }
}

impl UsageLimitPolicy {
    /// Returns the ceiling of a band at this saturation. `turns` counts how often the band had to
    /// ask.
    pub(super) fn ceiling(&self, band: Standing, saturation: f64, turns: &mut u32) -> f64 {
        match self {
            Self::Static { threshold } => *threshold,
            Self::PriorityHoldback(holdback) => holdback.ceiling(band),
            Self::SoftReflectiveCeiling => reflective(band, saturation, turns),
        }
    }
}

/// Returns the ceiling of EPP: soft-reflective-ceiling-policy.
fn reflective(band: Standing, saturation: f64, turns: &mut u32) -> f64 {
    if band.rank == 0 || band.bands < 2 {
        return 1.0;
    }
    let soft = 1.0 - f64::from(band.rank) * saturation / f64::from(band.bands - 1);
    if saturation < soft {
        return 1.0;
    }
    if saturation >= 1.0 {
        return 0.0;
    }
    *turns = turns.wrapping_add(1);
    if f64::from(*turns) < (saturation / (1.0 - saturation)).round() {
        return 0.0;
    }
    *turns = 0;
    1.0
}

impl UsageLimitKind {
    /// Every name there is.
    pub const NAMES: &[&str] = &[
        "static-usage-limit-policy",
        "priority-holdback-policy",
        "soft-reflective-ceiling-policy",
    ];

    /// Returns the EPP's name of it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Static => "static-usage-limit-policy",
            Self::PriorityHoldback => "priority-holdback-policy",
            Self::SoftReflectiveCeiling => "soft-reflective-ceiling-policy",
        }
    }
}

impl FromStr for UsageLimitKind {
    type Err = UnknownPolicy;

    fn from_str(name: &str) -> Result<Self, UnknownPolicy> {
        [Self::Static, Self::PriorityHoldback, Self::SoftReflectiveCeiling]
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| UnknownPolicy::new("usage limit policy", name, Self::NAMES))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Returns the ceilings of bands 100, 10 and 0 at one saturation.
    fn ceilings(policy: &UsageLimitPolicy, saturation: f64) -> Vec<f64> {
        let bands = [100, 10, 0].map(Priority);
        bands
            .iter()
            .zip(0..)
            .map(|(&priority, rank)| {
                let band =
                    Standing { priority, rank, bands: 3, highest: bands[0], lowest: bands[2] };
                policy.ceiling(band, saturation, &mut 0)
            })
            .collect()
    }

    #[test]
    fn holdback_falls_by_rank_or_by_value() {
        let spread = |domain| {
            UsageLimitPolicy::PriorityHoldback(Holdback::spread(domain, 0.5, 1.0).unwrap())
        };
        assert_eq!(ceilings(&spread(Domain::Rank), 0.0), [1.0, 0.75, 0.5]);
        assert_eq!(ceilings(&spread(Domain::Value), 0.0), [1.0, 0.55, 0.5]);
    }

    #[test]
    fn holdback_says_what_is_wrong() {
        let error = Holdback::spread(Domain::Rank, 0.9, 0.8).unwrap_err();
        assert_eq!(error.to_string(), "minCeiling is 0.9: allowed is below maxCeiling, 0.8");
        let rising = BTreeMap::from([(Priority(0), 0.9), (Priority(1), 0.8)]);
        assert_eq!(Holdback::explicit(rising), Err(InvalidCeiling::Rising(Priority(1))));
        assert!(Holdback::spread(Domain::Rank, f64::NAN, 1.0).is_err());
    }

    #[test]
    fn the_soft_ceiling_lets_a_low_band_through_now_and_then() {
        let soft = UsageLimitPolicy::SoftReflectiveCeiling;
        assert_eq!(ceilings(&soft, 0.4), [1.0, 1.0, 1.0]);
        assert_eq!(ceilings(&soft, 0.8), [1.0, 0.0, 0.0]);
        assert_eq!(ceilings(&soft, 1.0), [1.0, 0.0, 0.0]);
        let highest = Priority(1);
        let lowest = Priority(0);
        let band = Standing { priority: lowest, rank: 1, bands: 2, highest, lowest };
        let mut turns = 0;
        let open: Vec<f64> = (0..8).map(|_| soft.ceiling(band, 0.8, &mut turns)).collect();
        assert_eq!(open, [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn names_are_looked_up() {
        for name in UsageLimitKind::NAMES {
            assert_eq!(name.parse::<UsageLimitKind>().unwrap().name(), *name);
        }
        insta::assert_snapshot!("fixed".parse::<UsageLimitKind>().unwrap_err(), @r#"unknown usage limit policy "fixed": allowed are static-usage-limit-policy, priority-holdback-policy, soft-reflective-ceiling-policy"#);
    }
}
