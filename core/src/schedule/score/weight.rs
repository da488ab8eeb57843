//! The weight of a scorer.

use std::fmt;

/// A factor that is finite and not negative, so that weighted sums can be ordered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScorerWeight(f64);

impl ScorerWeight {
    /// The weight of a scorer without one (EPP: the configuration loader).
    pub const ONE: Self = Self(1.0);

    /// Makes a weight that is written in this crate.
    pub(crate) const fn whole(weight: u8) -> Self {
        Self(weight as f64)
    }

    /// Returns the number itself.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for ScorerWeight {
    type Error = BadWeight;

    fn try_from(weight: f64) -> Result<Self, BadWeight> {
        if (0.0..=Self::MAX).contains(&weight) { Ok(Self(weight)) } else { Err(BadWeight(weight)) }
    }
}

impl ScorerWeight {
    /// Far above any in use, and low enough for a sum of them to stay finite.
    const MAX: f64 = 1e9;
}

/// A number that can't be a weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BadWeight(pub f64);

impl fmt::Display for BadWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "weight {}; allowed: 0 to {}", self.0, ScorerWeight::MAX)
    }
}

impl std::error::Error for BadWeight {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_order_is_refused() {
        for weight in [0.0, 0.5, 3.0] {
            assert_eq!(ScorerWeight::try_from(weight).map(ScorerWeight::get), Ok(weight));
        }
        for weight in [f64::NAN, f64::INFINITY, -1.0] {
            assert!(ScorerWeight::try_from(weight).is_err(), "{weight}");
        }
        let refused = ScorerWeight::try_from(-1.0).unwrap_err();
        assert_eq!(refused.to_string(), "weight -1; allowed: 0 to 1000000000");
    }
}
