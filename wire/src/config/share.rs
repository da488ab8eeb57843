//! The share of a pool that is this gateway's, where several stand before it (`gatewayShare`).

use super::{At, ConfigError};

/// Share of a pool that is this gateway's: above 0, at most 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Share(f64);

impl Share {
    /// Share of the only gateway.
    pub(super) const WHOLE: Self = Self(1.0);

    pub(super) fn read(at: &At<'_>) -> Result<Self, ConfigError> {
        let share = at.number().filter(|share| *share > 0.0 && *share <= 1.0);
        share.map(Self).ok_or_else(|| at.refuse("a number above 0, at most 1"))
    }

    /// Returns this gateway's part of a limit, rounded up: never none.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most the limit, and not below zero"
    )]
    pub(super) fn part_of(self, limit: u32) -> u32 {
        // A third of 99 is no 33.000000000000004: what is lost in a product rounds to nothing.
        ((f64::from(limit) * self.0 - 1e-6).ceil() as u32).max(1)
    }
}

impl Default for Share {
    fn default() -> Self {
        Self::WHOLE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_rounded_up_and_never_none() {
        let parts = [(100, 1.0), (100, 0.5), (100, 1.0 / 3.0), (99, 1.0 / 3.0), (1, 0.01)];
        let parts = parts.map(|(limit, share)| Share(share).part_of(limit));
        assert_eq!(parts, [100, 50, 34, 33, 1]);
        assert_eq!(Share::WHOLE.part_of(u32::MAX), u32::MAX);
    }
}
