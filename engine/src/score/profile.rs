//! What a choice is made by.

use super::{Scorer, Weight};
use crate::Picker;

/// Scorers whose weighted sum ranks the endpoints, and a picker that takes from the ranking
/// (EPP: SchedulingProfile).
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Applied in order; without any, all endpoints are equal.
    pub scorers: Vec<WeightedScorer>,
    /// Applied last.
    pub picker: Picker,
}

/// A scorer and how much it counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightedScorer {
    /// What is looked at.
    pub scorer: Scorer,
    /// What its score is multiplied by.
    pub weight: Weight,
}

impl Default for Profile {
    /// The EPP's own when it is given no configuration, but with fallbacks (see [`Picker`]).
    fn default() -> Self {
        let weighted = |scorer, weight| WeightedScorer { scorer, weight: Weight::whole(weight) };
        Self {
            scorers: vec![
                weighted(Scorer::Queue, 2),
                weighted(Scorer::KvCacheUtilization, 2),
                weighted(Scorer::PrefixCache, 3),
            ],
            picker: Picker::default(),
        }
    }
}
