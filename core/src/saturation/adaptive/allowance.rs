//! The prompts that low bands may have computed on one endpoint at once.

use std::time::Duration;

use crate::model::Instant;

/// The least allowance, one interval of the scraper: below it an engine would run out of prompts between
/// two looks. 25 ms gave the same within 1 % of throughput.
const FLOOR: f64 = 0.05;

/// Multiple of the least that the allowance reaches at most: some six seconds of prompts, beyond which
/// more of them make no step fuller.
const CEILING: f64 = 64.0;

/// Seconds in which it doubles while it holds requests back for nothing; it falls four times as fast.
const DOUBLING: f64 = 2.0;
const FALL: f64 = 4.0;

/// Longest time between two looks that counts: what happened meanwhile was not seen.
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// The seconds of prompts that low bands may have computed on one endpoint at once.
///
/// A prompt is computed in the same steps as the answers of all others, and the first token of an
/// interactive request waits for it. So batch is given little, and more only where places stay free
/// because of that: where prompts are the bottleneck, holding them back costs throughput.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowance {
    /// Zero before the first look.
    seconds: f64,
    at: Instant,
}

/// The state of an endpoint at one look, as far as it concerns prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// Requests wait, prompts are computed and places are free: the allowance may be what holds.
    Held,
    /// The batch or its steps are full, or no request waits.
    Free,
    /// Anything else: it stays.
    Neither,
}

impl Allowance {
    /// Learns from a look at an endpoint of which a step takes so many seconds.
    pub fn see(&mut self, now: Instant, pressure: Pressure, step: f64) {
        let least = FLOOR.max(step);
        let passed = now.saturating_since(self.at).min(PAUSE_MAX).as_secs_f64();
        self.at = now;
        let doublings = passed / DOUBLING;
        let factor = match pressure {
            Pressure::Held => doublings.exp2(),
            Pressure::Free => (-FALL * doublings).exp2(),
            Pressure::Neither => 1.0,
        };
        self.seconds = (self.seconds * factor).clamp(least, CEILING * least);
    }

    /// Returns the seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.seconds.max(FLOOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos((1_000 + ms) * 1_000_000)
    }

    #[test]
    fn it_doubles_in_two_seconds_and_falls_in_half_a_second() {
        let mut allowance = Allowance::default();
        let mut ms = 0;
        let mut show = |pressure, looks: u64| {
            for _ in 0..looks {
                ms += 50;
                allowance.see(at(ms), pressure, 0.02);
            }
            allowance.seconds()
        };
        assert!((show(Pressure::Neither, 9) - 0.05).abs() < 1e-9);
        assert!((show(Pressure::Held, 40) - 0.1).abs() < 1e-6);
        assert!((show(Pressure::Neither, 99) - 0.1).abs() < 1e-6);
        assert!((show(Pressure::Held, 40) - 0.2).abs() < 1e-6);
        assert!((show(Pressure::Free, 10) - 0.1).abs() < 1e-6);
        assert!((show(Pressure::Held, 9_999) - 3.2).abs() < 1e-6, "64 times the least");
        assert!((show(Pressure::Free, 9_999) - 0.05).abs() < 1e-9);
    }

    #[test]
    fn no_less_than_a_step_and_no_more_for_a_pause() {
        let mut allowance = Allowance::default();
        allowance.see(at(0), Pressure::Neither, 0.3);
        assert!((allowance.seconds() - 0.3).abs() < 1e-9);
        allowance.see(at(60_000), Pressure::Held, 0.3);
        assert!(allowance.seconds() < 0.33, "a minute without a look: {}", allowance.seconds());
    }
}
