//! How well an endpoint suits a request: a number for each thing that one may care about.
//!
//! A scorer is a variant of [`Scorer`] with the EPP's name for it, a file in `score/` with its
//! formula, and a line in the match that calls it. What it may look at is in
//! `candidate::Candidate` and `context::PickContext`: a scorer that needs more brings a field there.

mod attribute;
mod cold;
mod estimated_ttft;
mod kv_cache_utilization;
mod label;
mod latency;
mod load;
mod lora_affinity;
mod prefix_cache;
mod relative;
mod scorer;
mod session_affinity;
mod weight;

pub use attribute::Attribute;
pub use estimated_ttft::EstimatedTtft;
pub use label::{ContextLength, HeaderLabel, Level, Topology};
pub use latency::{Headroom, Latency};
pub use load::{ActiveRequest, LoadAware, TokenLoad};
pub use prefix_cache::PrefixCache;
pub use scorer::Scorer;
pub use session_affinity::{SessionAffinity, SessionStrategy};
pub use weight::{BadWeight, ScorerWeight};

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

    /// The number itself.
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
