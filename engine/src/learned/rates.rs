//! How many prompt tokens a second an endpoint computes.

use std::time::Duration;

use crate::prefix::Slot;

/// A rate per endpoint: a moving average of what first tokens showed.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    /// Zero where nothing was seen.
    by_slot: Vec<f64>,
}

impl Rates {
    /// Until something was seen (EPP: prefix-cache-affinity-filter, peakPrefillThroughput).
    pub(crate) const DEFAULT: f64 = 15_928.0;

    /// What an observation counts: the last ten make up two thirds.
    const WEIGHT: f64 = 0.1;

    /// With fewer tokens before the first one, its time says more of the engine's step than of its
    /// speed.
    const TOKENS_MIN: u32 = 256;

    /// Bounds of what is believed: a CPU, and a rack. A proxy that answers from a cache of its own
    /// is no engine.
    const RANGE: std::ops::RangeInclusive<f64> = 10.0..=10_000_000.0;

    /// `tokens` were computed within `time`.
    pub(crate) fn observe(&mut self, slot: Slot, tokens: u32, time: Duration) {
        let rate = f64::from(tokens) / time.as_secs_f64();
        if tokens < Self::TOKENS_MIN || !Self::RANGE.contains(&rate) {
            return;
        }
        if self.by_slot.len() <= slot.index() {
            self.by_slot.resize(slot.index() + 1, 0.0);
        }
        if let Some(known) = self.by_slot.get_mut(slot.index()) {
            *known = if *known > 0.0 { *known + (rate - *known) * Self::WEIGHT } else { rate };
        }
    }

    /// Tokens a second.
    pub(crate) fn of(&self, slot: Slot) -> f64 {
        let known = self.by_slot.get(slot.index()).copied().filter(|rate| *rate > 0.0);
        known.unwrap_or(Self::DEFAULT)
    }

    pub(super) fn forget(&mut self, slot: Slot) {
        if let Some(known) = self.by_slot.get_mut(slot.index()) {
            *known = 0.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_learnt_and_forgotten() {
        let (slot, second) = (Slot(3), Duration::from_secs(1));
        let mut rates = Rates::default();
        assert!((rates.of(slot) - Rates::DEFAULT).abs() < 1e-9);
        rates.observe(slot, 100, second);
        rates.observe(slot, 1_000, Duration::ZERO);
        assert!((rates.of(slot) - Rates::DEFAULT).abs() < 1e-9, "too little, and too fast");
        rates.observe(slot, 2_000, second);
        assert!((rates.of(slot) - 2_000.0).abs() < 1e-9);
        (0..100).for_each(|_| rates.observe(slot, 4_000, second));
        assert!((rates.of(slot) - 4_000.0).abs() < 1.0);
        rates.forget(slot);
        assert!((rates.of(slot) - Rates::DEFAULT).abs() < 1e-9);
    }
}
