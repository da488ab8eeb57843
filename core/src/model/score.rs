//! The score of one endpoint for one request.

/// A number in `0.0..=1.0`, never NaN, so that scores can be ordered and weighted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score(f64);

impl Eq for Score {}

impl Score {
    /// The endpoint could not be worse.
    pub const ZERO: Self = Self(0.0);
    /// The endpoint could not be better.
    pub const ONE: Self = Self(1.0);

    /// Clamps to the range, as the EPP's profile runner does; NaN becomes zero.
    #[must_use]
    pub const fn clamped(raw: f64) -> Self {
        if raw.is_nan() { Self::ZERO } else { Self(raw.clamp(0.0, 1.0)) }
    }

    /// Returns the number itself.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_never_out_of_range() {
        for (raw, clamped) in
            [(f64::NAN, 0.0), (-0.5, 0.0), (0.25, 0.25), (1.5, 1.0), (f64::INFINITY, 1.0)]
        {
            assert_eq!(Score::clamped(raw), Score(clamped), "{raw}");
        }
    }
}
