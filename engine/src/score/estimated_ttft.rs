//! The sooner an endpoint would write the first token, the better: ours, there is none like it in
//! the EPP.
//!
//! The estimate is what SMG's and llm-d's come to when each endpoint's own speed is known:
//! `(tokens in flight + own) / rate + weight * own / rate + barrier * kv / (1 - kv)`, in seconds,
//! of tokens those that have to be computed there. Own tokens count twice by default, because they
//! also delay whoever comes next. Endpoints that hold most of the prompt come before all others
//! unless they would be much slower (EPP: prefix-cache-affinity-filter).

use super::Score;
use crate::{Ask, candidate::Candidate, learned::Rates};

/// How the estimate weighs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EstimatedTtft {
    /// How much the request's own tokens count beyond what they delay itself.
    pub own_weight: f64,
    /// Seconds that a half-full KV cache adds.
    pub kv_barrier: f64,
    /// The share of the prompt from which on an endpoint counts as having it.
    pub affinity: f64,
    /// Seconds that an endpoint which has the prompt may be slower than the best that has not.
    pub penalty_max: f64,
}

impl Default for EstimatedTtft {
    /// The weights that did best on the conversation trace, and the guides' gate.
    fn default() -> Self {
        Self { own_weight: 1.0, kv_barrier: 0.15, affinity: 0.8, penalty_max: 18.0 }
    }
}

/// Estimates closer to nothing than this are equal: an engine's step takes longer.
const STEP_SECONDS: f64 = 0.001;

impl EstimatedTtft {
    pub(super) fn score(
        &self,
        (ask, rates): (&Ask, &Rates),
        candidates: &[Candidate<'_>],
        scores: &mut Vec<Score>,
    ) {
        let is_warm = |it: &Candidate<'_>| it.cached_share(ask) >= self.affinity;
        let estimates = || candidates.iter().map(|it| (is_warm(it), self.estimate(it, ask, rates)));
        let (mut warm, mut cold) = (f64::INFINITY, f64::INFINITY);
        for (is_warm, seconds) in estimates() {
            let best = if is_warm { &mut warm } else { &mut cold };
            *best = best.min(seconds);
        }
        let gated = warm.is_finite() && warm - cold <= self.penalty_max;
        let best = warm.min(cold);
        scores.extend(estimates().map(|(is_warm, seconds)| {
            let share = (best.max(0.0) + STEP_SECONDS) / (seconds + STEP_SECONDS);
            // Within the gate all that are warm come first, each group in its own order.
            Score::clamped(match gated {
                true if is_warm => 0.5 + 0.5 * share,
                true => 0.499 * share.min(1.0),
                false => share,
            })
        }));
    }

    /// Seconds to the first token.
    fn estimate(&self, candidate: &Candidate<'_>, ask: &Ask, rates: &Rates) -> f64 {
        let own = f64::from(candidate.uncached_tokens(ask));
        let ahead = f64::from(candidate.tokens);
        let kv = candidate.gauges.map_or(0.0, |gauges| f64::from(gauges.kv_usage).min(0.99));
        let seconds = (ahead + (1.0 + self.own_weight) * own) / rates.of(candidate.slot());
        seconds + self.kv_barrier * kv / (1.0 - kv)
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "what is compared is exact or was rounded")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Chain, candidate::Gauges, pool::tests::member, prefix::Slot};

    fn candidate(member: &crate::pool::Member, matched: u32, tokens: u32) -> Candidate<'_> {
        let gauges = Some(Gauges { waiting: 0, running: 0, kv_usage: 0.0 });
        Candidate { member, gauges, matched, requests: 0, tokens }
    }

    fn ask(blocks: u32) -> Ask {
        Ask { chain: Chain { blocks, ..Chain::default() }, ..Ask::default() }
    }

    fn scores(candidates: &[Candidate<'_>], blocks: u32, rates: &Rates) -> Vec<f64> {
        let mut scores = Vec::new();
        EstimatedTtft::default().score((&ask(blocks), rates), candidates, &mut scores);
        scores.into_iter().map(Score::get).collect()
    }

    #[test]
    fn the_estimate_is_the_formula() {
        let (member, mut rates) = (member(&[]), Rates::default());
        rates.observe(Slot(0), 1_000, Duration::from_secs(1));
        let mut candidate = candidate(&member, 5, 640);
        candidate.gauges = Some(Gauges { waiting: 0, running: 0, kv_usage: 0.5 });
        let seconds = EstimatedTtft::default().estimate(&candidate, &ask(10), &rates);
        assert!((seconds - (0.64 + 2.0 * 0.32 + 0.15)).abs() < 1e-6, "{seconds}");
    }

    #[test]
    fn warm_ones_come_first_until_they_are_far_behind() {
        let (member, rates) = (member(&[]), Rates::default());
        let busy = |tokens| [candidate(&member, 9, tokens), candidate(&member, 0, 0)];
        let [warm, cold] = scores(&busy(100_000), 10, &rates)[..] else { panic!() };
        assert!(warm > cold, "6 s are no reason to leave");
        let [warm, cold] = scores(&busy(400_000), 10, &rates)[..] else { panic!() };
        assert!(warm < cold, "25 s are one");
    }

    #[test]
    fn equals_are_equal_and_the_idle_are_best() {
        let (member, rates) = (member(&[]), Rates::default());
        let both = [candidate(&member, 0, 0), candidate(&member, 0, 0)];
        assert_eq!(scores(&both, 10, &rates), [1.0, 1.0]);
        let busy = [candidate(&member, 0, 5_000), candidate(&member, 0, 0)];
        let [busy, idle] = scores(&busy, 10, &rates)[..] else { panic!() };
        assert!(busy < idle);
    }
}
