//! The more room a predicted first token leaves to its objective, or the less, the better
//! (EPP: latency-scorer).
//!
//! The time per further token is not predicted here, so its headroom is the same everywhere and,
//! as in the EPP, does not count; its weight is accepted and has no effect.

use super::Score;
use crate::{candidate::Candidate, scene::Scene};

/// How headroom becomes a score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    /// Which headroom is best.
    pub prefers: Headroom,
    /// Without predictions: how much free KV cache counts.
    pub kv_weight: f64,
    /// Without predictions: how much a short queue counts.
    pub queue_weight: f64,
    /// Without predictions: how much a cached prompt counts.
    pub prefix_weight: f64,
}

/// Which headroom is best (EPP: headroomSelectionStrategy).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headroom {
    /// What just meets the objective, so that faster endpoints stay free.
    Least,
    /// What meets it most safely.
    Most,
}

impl Default for Latency {
    fn default() -> Self {
        Self { prefers: Headroom::Least, kv_weight: 1.0, queue_weight: 1.0, prefix_weight: 1.0 }
    }
}

impl Latency {
    pub(super) fn score(
        &self,
        scene: &Scene<'_>,
        candidates: &[Candidate<'_>],
        scores: &mut Vec<Score>,
    ) {
        let headrooms: Vec<Option<f64>> =
            candidates.iter().map(|candidate| scene.headroom(candidate)).collect();
        if headrooms.iter().all(Option::is_none) {
            return self.composite(scene, candidates, scores);
        }
        // Those without a prediction count with those that meet the objective, at headroom 0.
        let meets = |headroom: Option<f64>| headroom.is_none_or(|headroom| headroom >= 0.0);
        let any_meets = headrooms.iter().any(|headroom| meets(*headroom));
        let any_idle = candidates.iter().any(|candidate| candidate.requests == 0);
        let counts = |candidate: &Candidate<'_>, headroom: Option<f64>| match any_meets {
            true => meets(headroom),
            false => !any_idle || candidate.requests == 0,
        };
        let size = |headroom: Option<f64>| headroom.unwrap_or(0.0).abs();
        let bucket = candidates.iter().zip(&headrooms).filter(|(it, room)| counts(it, **room));
        let (least, most) = bucket.fold((f64::INFINITY, 0.0_f64), |(least, most), (_, room)| {
            (least.min(size(*room)), most.max(size(*room)))
        });
        let prefers = if any_meets { self.prefers } else { Headroom::Least };
        scores.extend(candidates.iter().zip(&headrooms).map(|(candidate, headroom)| {
            if !counts(candidate, *headroom) {
                return Score::ZERO;
            }
            step(normalised(size(*headroom), least, most), prefers)
        }));
    }

    /// Free KV cache, a short queue and a cached prompt, in proportion to their weights.
    fn composite(&self, scene: &Scene<'_>, candidates: &[Candidate<'_>], scores: &mut Vec<Score>) {
        let sum = self.kv_weight + self.queue_weight + self.prefix_weight;
        let (kv, queue, prefix) = match sum > 0.0 {
            true => (self.kv_weight / sum, self.queue_weight / sum, self.prefix_weight / sum),
            false => (1.0, 0.0, 0.0),
        };
        let waiting = |it: &Candidate<'_>| it.gauges.map_or(0, |gauges| gauges.waiting);
        let longest = candidates.iter().map(waiting).max().unwrap_or(0);
        scores.extend(candidates.iter().map(|candidate| {
            let Some(gauges) = candidate.gauges else { return Score::ZERO };
            let short = match longest {
                0 => 1.0,
                longest => f64::from(longest - gauges.waiting) / f64::from(longest),
            };
            let free = 1.0 - f64::from(gauges.kv_usage);
            let share = candidate.cached_share(scene.ask);
            Score::clamped(((kv * free + queue * short + prefix * share) * 100.0).round() / 100.0)
        }));
    }
}

/// From 0 for the least to 1 for the most, and 0.5 where all are equal.
fn normalised(size: f64, least: f64, most: f64) -> f64 {
    const EQUAL: f64 = 1e-9;
    if most - least <= EQUAL { 0.5 } else { (size - least) / (most - least) }
}

/// In hundredths, at least one.
fn step(share: f64, prefers: Headroom) -> Score {
    let share = if prefers == Headroom::Most { share } else { 1.0 - share };
    Score::clamped(((share * 100.0).floor() + 1.0) / 100.0)
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "what is compared is exact or was rounded")]
mod tests {
    use super::*;

    #[test]
    fn headroom_in_hundredths() {
        let steps = |prefers| [0.0, 0.5, 1.0].map(|share| step(share, prefers).get());
        assert_eq!(steps(Headroom::Least), [1.0, 0.51, 0.01]);
        assert_eq!(steps(Headroom::Most), [0.01, 0.51, 1.0]);
        assert_eq!(
            [normalised(1.0, 1.0, 3.0), normalised(2.0, 1.0, 3.0), normalised(2.0, 2.0, 2.0)],
            [0.0, 0.5, 0.5]
        );
    }
}
