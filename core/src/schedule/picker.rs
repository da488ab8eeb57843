//! Takes endpoints from the ranking.

use std::{cmp::Ordering, fmt};

use crate::model::Rng;

/// The last step of a profile: takes endpoints from the ranking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picker {
    /// Order of the list.
    pub order: Order,
    /// Length of the list, from 1 to [`Picker::ENDPOINTS_MAX`]; others count as the nearest
    /// (EPP: maxNumOfEndpoints).
    pub max_endpoints: u32,
}

/// The order in which endpoints are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The best; equals in random order (EPP: max-score-picker).
    MaxScore,
    /// Any, whatever their scores (EPP: random-picker).
    Random,
    /// Any, with a chance in proportion to the score (EPP: weighted-random-picker).
    WeightedRandom,
}

impl Picker {
    /// Envoy retries a few times at most, and each endpoint lengthens a header.
    pub const ENDPOINTS_MAX: u32 = 16;

    /// All plugin types.
    pub const NAMES: [&str; 3] = ["max-score-picker", "random-picker", "weighted-random-picker"];

    /// Returns the picker of that type with its default parameters.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let orders = [Order::MaxScore, Order::Random, Order::WeightedRandom];
        let of = |order| Self { order, ..Self::default() };
        orders.into_iter().map(of).find(|picker| picker.name() == name)
    }

    /// Returns the plugin type in an EndpointPickerConfig.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.order {
            Order::MaxScore => "max-score-picker",
            Order::Random => "random-picker",
            Order::WeightedRandom => "weighted-random-picker",
        }
    }

    /// Returns places in `totals`, best first.
    pub(crate) fn rank(self, totals: &[f64], rng: &mut Rng) -> Vec<usize> {
        let count = self.max_endpoints.clamp(1, Self::ENDPOINTS_MAX) as usize;
        match self.order {
            Order::MaxScore => best(totals, count, rng, |total, _| total),
            Order::Random => best(totals, count, rng, |_, rng| rng.share()),
            Order::WeightedRandom => best(totals, count, rng, weighted_key),
        }
    }
}

/// Returns the logarithm of the key of Efraimidis and Spirakis' A-Res, `u^(1/w)`, which is 0 itself for small
/// weights: of keys drawn so the highest is each one's with a chance in proportion to its weight. Without a
/// score at all no endpoint is preferred, so zeros come last, in random order (EPP: weighted-random-picker).
fn weighted_key(total: f64, rng: &mut Rng) -> f64 {
    let share = rng.share();
    if total > 0.0 { share.ln() / total } else { f64::NEG_INFINITY }
}

impl Default for Picker {
    /// Returns three endpoints, where the EPP has one: Envoy goes to the next when a connection
    /// fails, which one dead pod and one that is just starting don't use up.
    fn default() -> Self {
        Self { order: Order::MaxScore, max_endpoints: 3 }
    }
}

impl fmt::Display for Picker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.name(), self.max_endpoints)
    }
}

/// A place in the ranking. A random number decides between equals, which is what shuffling before
/// a stable sort comes to, without the sort.
#[derive(Clone, Copy)]
struct Ranked {
    key: f64,
    tie_break: u64,
    place: usize,
}

impl Ranked {
    fn is_before(&self, other: &Self) -> bool {
        other.key.total_cmp(&self.key).then(self.tie_break.cmp(&other.tie_break)) == Ordering::Less
    }
}

/// Returns the `count` highest by the key made of each total, in one pass.
fn best(
    totals: &[f64],
    count: usize,
    rng: &mut Rng,
    key: impl Fn(f64, &mut Rng) -> f64,
) -> Vec<usize> {
    let mut best: Vec<Ranked> = Vec::with_capacity(count + 1);
    for (place, &total) in totals.iter().enumerate() {
        let key = key(total, rng);
        let last = best.last().copied().filter(|_| best.len() == count);
        // In a busy pool nearly all end here: dice are thrown only where there is a tie to break.
        if last.is_some_and(|last| key < last.key) {
            continue;
        }
        let ranked = Ranked { key, tie_break: rng.draw(), place };
        if last.is_some_and(|last| last.is_before(&ranked)) {
            continue;
        }
        let at = best.partition_point(|better| better.is_before(&ranked));
        best.insert(at, ranked);
        best.truncate(count);
    }
    best.into_iter().map(|ranked| ranked.place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(name: &str, max_endpoints: u32, totals: &[f64], seed: u64) -> Vec<usize> {
        let picker = Picker { max_endpoints, ..Picker::named(name).unwrap() };
        picker.rank(totals, &mut Rng::new(seed))
    }

    #[test]
    fn the_best_come_first() {
        let totals = [0.5, 3.0, 1.0, 2.0];
        assert_eq!(rank("max-score-picker", 3, &totals, 1), [1, 3, 2]);
        assert_eq!(rank("max-score-picker", 9, &totals, 1), [1, 3, 2, 0]);
        assert_eq!(rank("max-score-picker", 3, &[], 1), []);
    }

    /// Returns how often each place comes first in 1,000 draws.
    fn firsts<const N: usize>(name: &str, totals: [f64; N]) -> [u32; N] {
        let picker = Picker::named(name).unwrap();
        let mut rng = Rng::new(7);
        let mut firsts = [0; N];
        for _ in 0..1_000 {
            firsts[picker.rank(&totals, &mut rng)[0]] += 1;
        }
        firsts
    }

    /// With ten equals, 1,000 draws give each 100 times the first place, give or take five standard
    /// deviations of 9.5.
    #[test]
    fn equals_take_turns() {
        for name in ["max-score-picker", "random-picker", "weighted-random-picker"] {
            let firsts = firsts(name, [1.0; 10]);
            assert!(firsts.iter().all(|first| (52..=148).contains(first)), "{name}: {firsts:?}");
        }
    }

    #[test]
    fn chance_goes_by_score_or_not_at_all() {
        // Weights of 1 to 4 in 10: 100, 200, 300, 400 give or take five standard deviations.
        let weighted = firsts("weighted-random-picker", [1.0, 2.0, 3.0, 4.0]);
        for (first, expected) in weighted.into_iter().zip([100_u32, 200, 300, 400]) {
            assert!(first.abs_diff(expected) < 78, "{weighted:?}");
        }
        assert_eq!(firsts("weighted-random-picker", [1e-4, 2e-4, 3e-4, 4e-4]), weighted);
        let zeros = firsts("weighted-random-picker", [0.0; 4]);
        assert!(zeros.iter().all(|first| first.abs_diff(250) < 69), "{zeros:?}");
        let random = firsts("random-picker", [1.0, 2.0, 3.0, 4.0]);
        assert!(random.iter().all(|first| first.abs_diff(250) < 69), "{random:?}");
        assert_eq!(firsts("weighted-random-picker", [0.0, 1.0]), [0, 1_000]);
    }

    #[test]
    fn names_are_read_as_written() {
        for name in Picker::NAMES {
            assert_eq!(Picker::named(name).map(Picker::name), Some(name));
        }
        assert_eq!(Picker::named("random"), None);
    }
}
