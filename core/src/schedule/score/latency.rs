//! The more room predicted tokens leave to their objectives, or the less, the better
//! (EPP: latency-scorer).

use super::plugin::ScorerPlugin;
use crate::{
    model::Score,
    pool::Candidate,
    schedule::{Needs, PickContext, SloHeadroom},
};

/// The way in which headroom becomes a score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    /// Headroom that is best.
    pub prefers: Headroom,
    /// Weight of the headroom of the first token.
    pub ttft_weight: f64,
    /// Weight of the headroom of each further token.
    pub tpot_weight: f64,
    /// Without predictions: how much free KV cache counts.
    pub kv_weight: f64,
    /// Without predictions: how much a short queue counts.
    pub queue_weight: f64,
    /// Without predictions: how much a cached prompt counts.
    pub prefix_weight: f64,
}

/// The headroom that is best (EPP: headroomSelectionStrategy).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headroom {
    /// The headroom that just meets the objective, so that faster endpoints stay free.
    Least,
    /// The headroom that meets it most safely.
    Most,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            prefers: Headroom::Least,
            ttft_weight: 0.8,
            tpot_weight: 0.2,
            kv_weight: 1.0,
            queue_weight: 1.0,
            prefix_weight: 1.0,
        }
    }
}

impl ScorerPlugin for Latency {
    fn needs(&self) -> Needs<'_> {
        Needs::TOKENS
    }

    fn score_all(
        &self,
        context: &PickContext<'_>,
        candidates: &[Candidate<'_>],
        scores: &mut Vec<Score>,
    ) {
        self.score(context, candidates, scores);
    }
}

impl Latency {
    fn score(
        &self,
        context: &PickContext<'_>,
        candidates: &[Candidate<'_>],
        scores: &mut Vec<Score>,
    ) {
        let headrooms: Vec<Option<SloHeadroom>> =
            candidates.iter().map(|candidate| context.headroom(candidate)).collect();
        if headrooms.iter().all(Option::is_none) {
            return self.composite(context, candidates, scores);
        }
        let seen = candidates.iter().zip(&headrooms);
        let tiers: Vec<Tier> = seen
            .map(|(candidate, headroom)| Tier::from_headroom(*headroom, candidate.requests == 0))
            .collect();
        let best = tiers.iter().max().copied().unwrap_or(Tier::MissesBoth);
        // A little too late is better than far too late.
        let prefers = if best == Tier::Meets { self.prefers } else { Headroom::Least };
        let left = |headroom: Option<SloHeadroom>| headroom.unwrap_or_default();
        let counted = || headrooms.iter().zip(&tiers).filter(|(_, tier)| **tier == best);
        let ttft = Range::spanning(counted().map(|(headroom, _)| left(*headroom).ttft.abs()));
        let tpot = Range::spanning(counted().map(|(headroom, _)| left(*headroom).tpot.abs()));
        let (ttft_weight, tpot_weight) = self.weights(ttft, tpot);
        scores.extend(headrooms.iter().zip(&tiers).map(|(headroom, tier)| {
            if *tier != best {
                return Score::ZERO;
            }
            let SloHeadroom { ttft: first, tpot: further } = left(*headroom);
            let share =
                ttft_weight * ttft.share(first.abs()) + tpot_weight * tpot.share(further.abs());
            step(share, prefers)
        }));
    }

    /// Returns the weights as shares of their sum. What is the same everywhere does not count.
    fn weights(&self, ttft: Range, tpot: Range) -> (f64, f64) {
        let sum = self.ttft_weight + self.tpot_weight;
        match (ttft.is_flat(), tpot.is_flat()) {
            (true, false) => (0.0, 1.0),
            (false, true) => (1.0, 0.0),
            _ if sum > 0.0 => (self.ttft_weight / sum, self.tpot_weight / sum),
            _ => (1.0, 0.0),
        }
    }

    /// Scores free KV cache, a short queue and a cached prompt, in proportion to their weights.
    fn composite(
        &self,
        context: &PickContext<'_>,
        candidates: &[Candidate<'_>],
        scores: &mut Vec<Score>,
    ) {
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
            let share = candidate.cached_share(context.request);
            Score::clamped(((kv * free + queue * short + prefix * share) * 100.0).round() / 100.0)
        }));
    }
}

/// The tier of an endpoint by the objectives that it meets. Only those of the best tier that there
/// is are scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Tier {
    /// The objectives of the first token and of further ones are missed.
    MissesBoth,
    MissesTtft,
    MissesTpot,
    /// An objective is missed, but nothing is in flight there.
    Idle,
    /// Without a prediction it is taken to meet them.
    Meets,
}

impl Tier {
    fn from_headroom(headroom: Option<SloHeadroom>, is_idle: bool) -> Self {
        match headroom {
            None => Self::Meets,
            Some(headroom) if headroom.meets() => Self::Meets,
            Some(_) if is_idle => Self::Idle,
            Some(headroom) if headroom.ttft >= 0.0 => Self::MissesTpot,
            Some(headroom) if headroom.tpot >= 0.0 => Self::MissesTtft,
            Some(_) => Self::MissesBoth,
        }
    }
}

/// The least and the most of what is compared.
#[derive(Clone, Copy, Debug)]
struct Range {
    least: f64,
    most: f64,
}

impl Range {
    /// Seconds that make no difference.
    const EQUAL: f64 = 1e-9;

    fn spanning(sizes: impl Iterator<Item = f64>) -> Self {
        let nothing = Self { least: f64::INFINITY, most: 0.0 };
        sizes.fold(nothing, |range, size| Self {
            least: range.least.min(size),
            most: range.most.max(size),
        })
    }

    fn is_flat(self) -> bool {
        self.most - self.least <= Self::EQUAL
    }

    /// Returns 0 for the least to 1 for the most, and 0.5 where all are equal.
    fn share(self, size: f64) -> f64 {
        if self.is_flat() { 0.5 } else { (size - self.least) / (self.most - self.least) }
    }
}

/// Scores in hundredths, at least one.
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
        let range = |sizes: &[f64]| Range::spanning(sizes.iter().copied());
        let wide = range(&[3.0, 1.0]);
        let flat = range(&[2.0]);
        assert_eq!([wide.share(1.0), wide.share(2.0), flat.share(2.0)], [0.0, 0.5, 0.5]);
        let (least, most) = Latency::default().weights(wide, wide);
        assert_eq!((least, most), (0.8, 0.2));
        assert_eq!(Latency::default().weights(flat, wide), (0.0, 1.0));
        assert_eq!(Latency::default().weights(wide, flat), (1.0, 0.0));
        let weightless = Latency { ttft_weight: 0.0, tpot_weight: 0.0, ..Latency::default() };
        assert_eq!(weightless.weights(flat, flat), (1.0, 0.0));
    }

    #[test]
    fn tiers_in_their_order() {
        let tier = |ttft, tpot, idle| Tier::from_headroom(Some(SloHeadroom { ttft, tpot }), idle);
        let tiers = [
            tier(-1.0, -1.0, false),
            tier(-1.0, 0.0, false),
            tier(0.0, -1.0, false),
            tier(-1.0, -1.0, true),
            tier(0.0, 0.0, false),
        ];
        assert!(tiers.is_sorted_by(|before, after| before < after), "{tiers:?}");
        assert_eq!(Tier::from_headroom(None, false), Tier::Meets);
    }
}
