//! Takes endpoints from the ranking.

use std::{cmp::Ordering, fmt, str::FromStr};

use crate::rng::Rng;

/// How endpoints are taken from the ranking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picker {
    /// The best, and the next best to fall back to (EPP: max-score-picker). Equals in random order.
    MaxScore {
        /// Length of the list, from 1 to [`Picker::MAX_ENDPOINTS`]; others count as the nearest.
        max_endpoints: u32,
    },
}

impl Picker {
    /// Envoy retries a few times at most, and each endpoint lengthens a header.
    pub const MAX_ENDPOINTS: u32 = 16;

    /// All plugin types.
    pub const NAMES: [&str; 1] = ["max-score-picker"];

    /// The plugin type in an EndpointPickerConfig.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MaxScore { .. } => "max-score-picker",
        }
    }

    /// Places in `totals`, best first.
    pub(crate) fn rank(self, totals: &[f64], rng: &mut Rng) -> Vec<usize> {
        match self {
            Self::MaxScore { max_endpoints } => {
                best(totals, max_endpoints.clamp(1, Self::MAX_ENDPOINTS) as usize, rng)
            }
        }
    }
}

impl Default for Picker {
    /// Three endpoints, where the EPP has one: Envoy goes to the next when a connection fails,
    /// which one dead pod and one that is just starting don't use up.
    fn default() -> Self {
        Self::MaxScore { max_endpoints: 3 }
    }
}

impl FromStr for Picker {
    type Err = UnknownPicker;

    /// The picker of that name with its default parameters.
    fn from_str(name: &str) -> Result<Self, UnknownPicker> {
        let picker = Self::default();
        if picker.name() == name {
            Ok(picker)
        } else {
            Err(UnknownPicker { name: name.to_owned() })
        }
    }
}

/// A plugin type that is not a picker here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownPicker {
    /// What was found.
    pub name: String,
}

impl fmt::Display for UnknownPicker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown picker {:?}; allowed: {}", self.name, Picker::NAMES.join(", "))
    }
}

impl std::error::Error for UnknownPicker {}

/// A place in the ranking. A random number decides between equals, which is what shuffling before
/// a stable sort comes to, without the sort.
#[derive(Clone, Copy)]
struct Ranked {
    total: f64,
    tie_break: u64,
    place: usize,
}

impl Ranked {
    fn is_before(&self, other: &Self) -> bool {
        other.total.total_cmp(&self.total).then(self.tie_break.cmp(&other.tie_break))
            == Ordering::Less
    }
}

/// The `count` highest totals, in one pass.
fn best(totals: &[f64], count: usize, rng: &mut Rng) -> Vec<usize> {
    let mut best: Vec<Ranked> = Vec::with_capacity(count + 1);
    for (place, &total) in totals.iter().enumerate() {
        let ranked = Ranked { total, tie_break: rng.draw(), place };
        let at = best.partition_point(|better| better.is_before(&ranked));
        if at < count {
            best.insert(at, ranked);
            best.truncate(count);
        }
    }
    best.into_iter().map(|ranked| ranked.place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_come_first() {
        let totals = [0.5, 3.0, 1.0, 2.0];
        assert_eq!(best(&totals, 3, &mut Rng::new(1)), [1, 3, 2]);
        assert_eq!(best(&totals, 9, &mut Rng::new(1)), [1, 3, 2, 0]);
        assert_eq!(best(&[], 3, &mut Rng::new(1)), []);
    }

    /// With ten equals, 1,000 draws give each 100 times the first place, give or take five standard
    /// deviations of 9.5.
    #[test]
    fn equals_take_turns() {
        let mut rng = Rng::new(7);
        let mut firsts = [0; 10];
        for _ in 0..1_000 {
            firsts[best(&[1.0; 10], 3, &mut rng)[0]] += 1;
        }
        assert!(firsts.iter().all(|first| (52..=148).contains(first)), "{firsts:?}");
    }

    #[test]
    fn an_unknown_name_lists_the_known() {
        assert_eq!("max-score-picker".parse(), Ok(Picker::default()));
        let refused = "random".parse::<Picker>().unwrap_err();
        assert_eq!(refused.to_string(), "unknown picker \"random\"; allowed: max-score-picker");
    }
}
