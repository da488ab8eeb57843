//! The prompt tokens that a pool is sent to compute, as far as the last seconds tell.

use crate::model::Instant;

/// Tokens of placed prompts that were not cached where they went; they fade.
///
/// Placements of all workers count, so that each worker sees the demand of its whole Envoy.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Demand {
    /// Tokens that are left at `at`.
    tokens: f64,
    at: Instant,
}

impl Demand {
    /// Time over which tokens fade, in seconds: long beside the pauses between the bursts that clients
    /// make together, and short beside the minutes over which load rises and falls.
    const SECONDS: f64 = 20.0;

    /// Counts the tokens of a prompt that was placed at `now`.
    pub(crate) fn add(&mut self, tokens: u32, now: Instant) {
        // Events of other workers may come in another order than they were made.
        let now = now.max(self.at);
        *self = Self { tokens: self.left(now) + f64::from(tokens), at: now };
    }

    /// Returns the tokens a second.
    pub(crate) fn rate(&self, now: Instant) -> f64 {
        self.left(now) / Self::SECONDS
    }

    fn left(&self, now: Instant) -> f64 {
        let passed = now.saturating_since(self.at).as_secs_f64();
        self.tokens * (-passed / Self::SECONDS).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn a_steady_demand_is_its_rate_and_fades_when_it_ends() {
        let mut demand = Demand::default();
        assert_eq!(demand.rate(at(9)).to_bits(), 0);
        (0..2_000).for_each(|tenth| {
            demand.add(300, Instant::from_nanos(tenth * 100_000_000));
        });
        let now = demand.rate(at(200));
        assert!((2_900.0..3_100.0).contains(&now), "{now}");
        assert!((demand.rate(at(220)) - now / std::f64::consts::E).abs() < 1.0);
    }

    #[test]
    fn an_event_that_comes_late_counts_and_turns_no_clock_back() {
        let mut demand = Demand::default();
        demand.add(100, at(60));
        demand.add(100, at(20));
        assert!((demand.rate(at(60)) - 200.0 / Demand::SECONDS).abs() < 1e-9);
    }
}
