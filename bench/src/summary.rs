//! Quantiles, medians and spreads.

use std::{fmt, time::Duration};

/// Returns the value that a share `q` of all lies at or under (nearest rank); zero of none.
pub(crate) fn quantile(values: &mut [Duration], q: f64) -> Duration {
    values.sort_unstable();
    let rank = rank(values.len(), q);
    values.get(rank).copied().unwrap_or_default()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank lies between 0 and a length"
)]
fn rank(length: usize, q: f64) -> usize {
    ((length as f64 * q).ceil() as usize).saturating_sub(1)
}

/// A figure from several rounds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rounds(Vec<f64>);

impl Rounds {
    /// Takes the figures of these rounds.
    pub(crate) fn new(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        Self(figures)
    }

    /// Returns the middle figure; of an even number, the mean of the two in the middle.
    pub(crate) fn median(&self) -> f64 {
        let at = |index: usize| self.0.get(index).copied().unwrap_or(f64::NAN);
        let half = self.0.len() / 2;
        if self.0.len() % 2 == 1 {
            at(half)
        } else {
            f64::midpoint(at(half.wrapping_sub(1)), at(half))
        }
    }

    fn spread(&self) -> Option<(f64, f64)> {
        Some((*self.0.first()?, *self.0.last()?))
    }
}

/// Writes `median (lowest–highest)`, with the precision asked for.
impl fmt::Display for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = f.precision().unwrap_or(0);
        write!(f, "{:.places$}", self.median())?;
        match self.spread() {
            Some((low, high)) if self.0.len() > 1 => write!(f, " ({low:.places$}–{high:.places$})"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let mut values: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(quantile(&mut values, 0.5), Duration::from_millis(50));
        assert_eq!(quantile(&mut values, 0.99), Duration::from_millis(99));
        assert_eq!(quantile(&mut values, 1.0), Duration::from_millis(100));
        assert_eq!(quantile(&mut [], 0.5), Duration::ZERO);
    }

    #[test]
    fn rounds_show_the_median_and_the_spread() {
        let rounds = Rounds::new([3.0, 1.0, 2.25]);
        assert_eq!(format!("{rounds:.1}"), "2.2 (1.0–3.0)");
        assert_eq!(format!("{:.1}", Rounds::new([1.0, 2.0])), "1.5 (1.0–2.0)");
        assert_eq!(format!("{}", Rounds::new([7.0])), "7");
    }
}
