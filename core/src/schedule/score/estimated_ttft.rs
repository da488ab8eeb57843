//! The sooner an endpoint would write the first token, the better: ours, there is none like it in
//! the EPP.
//!
//! The estimate for endpoint `i`, in seconds, where `pace` is the pool's seconds per prompt token and
//! `pace_i` the endpoint's own where it is far slower:
//!
//! ```text
//! backlog_i + unheard_i + others_i * usual * pace_i + slot_i * usual * pace_i + own_i * pace_i + own_weight * own_i * pace
//!     + 4 * evicting_i * pace + 45 * requests_i * pace + kv_barrier * kv_i / (1 - kv_i)
//! ```
//!
//! - `backlog`: what is left to compute of the prompts sent there (`ledger/account.rs`), and
//!   half of them where they should have been computed by now and are not;
//! - `unheard`: the age of what is known of other gateways, times a share by the endpoint's place in this
//!   gateway's order (`exchange/others.rs`): they may all have sent there meanwhile;
//! - `others`: requests that wait there and that several pages show not to be ours, each with a prompt
//!   of the usual length (`pool/learned/strangers.rs`);
//! - `slot`: prompts of the usual length that the wait for a slot of the request's LoRA adapter counts as,
//!   where the batch is full of others (`adapter.rs` beside this);
//! - `own`: tokens of the request that are not cached there. What the best-supplied endpoint has and
//!   this one lacks counts less the more prompts will use it (`reuse.rs` beside this);
//! - `evicting`: tokens that another endpoint has and this one would compute anew, as far as its cache is
//!   so tight that they drive out what will be asked for again (`pool/learned/turnover.rs`);
//! - `own_weight`: what computing costs the requests that come after: 2 where endpoints compute prompts for
//!   half of their time or more, and the less, the more of it they have none (`pool/learned/demand.rs`);
//! - `requests`: requests in flight, each of which slows the engine's steps.
//!
//! Endpoints that hold enough of the prompt come before all others unless they are much busier (EPP:
//! prefix-cache-affinity-filter). A wait for a place in a full batch is left out on purpose: where
//! caches are tight, it sends conversations away from their prefixes, and more computing makes more
//! waiting. The defaults are what did best over the loads of `bench replay`; bench/README.md has them
//! beside the formulas of others.

mod known;

mod reuse;

mod adapter;

mod estimator;

use super::plugin::ScorerPlugin;
use crate::{
    model::Score,
    pool::{Candidate, Learned},
    schedule::{Needs, PickContext},
};
use estimator::{Estimate, Estimator};
use known::Known;

/// The weights of the estimate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EstimatedTtft {
    /// Factor of the request's own tokens beyond what they delay itself, where endpoints compute prompts for
    /// half of their time or more. For a share `u` below, it is `u / (1 - u)` of that, and a quarter at
    /// least.
    pub own_weight: f64,
    /// Seconds that a half-full KV cache adds.
    pub kv_barrier: f64,
    /// The share of the prompt from which on an endpoint counts as having it.
    pub affinity: f64,
    /// Seconds that the least busy endpoint which has the prompt may be behind the least busy one
    /// that has not; by default what `PENALTY_PROMPTS` usual prompts take.
    pub penalty_max: Option<f64>,
}

impl Default for EstimatedTtft {
    fn default() -> Self {
        Self {
            // Computing what another endpoint has cached delays all requests that come after. At 4 a
            // prefix that is suddenly hot spreads a tenth later, and at 1 conversations move too
            // easily where caches are tight. Where endpoints are mostly idle it delays next to none, and a
            // session that never leaves a crowded endpoint loses its cache there, beside idle ones.
            own_weight: 2.0,
            // Nothing was gained by a high one. This one decides between equals, of which the one
            // that holds less for live requests has more room for a cache.
            kv_barrier: 0.001,
            // From here on it is the same conversation and not the same system prompt.
            affinity: 0.3,
            penalty_max: None,
        }
    }
}

/// Estimates closer to nothing than this are equal: an engine's step takes longer.
const STEP_SECONDS: f64 = 0.001;

impl ScorerPlugin for EstimatedTtft {
    fn needs(&self) -> Needs<'_> {
        Needs::TOKENS
    }

    fn score_all(
        &self,
        context: &PickContext<'_>,
        candidates: &[Candidate<'_>],
        scores: &mut Vec<Score>,
    ) {
        let PickContext { request, learned, now, .. } = *context;
        let known = Known { request, learned, now };
        self.score(known, candidates, scores);
    }
}

impl EstimatedTtft {
    /// The lag that an endpoint which has the prompt may have, in prompts of the usual length: a
    /// conversation that moves takes its next turns along, so leaving has to pay for more than one.
    /// In prompts and not in seconds, so that it suits any model and hardware.
    const PENALTY_PROMPTS: f64 = 2.0;

    fn score(&self, known: Known<'_>, candidates: &[Candidate<'_>], scores: &mut Vec<Score>) {
        let estimator = Estimator::new(self, known, candidates);
        let estimates = candidates.iter().map(|it| (estimator.is_warm(it), estimator.estimate(it)));
        let estimates: Vec<(bool, Estimate)> = estimates.collect();
        // Waits and not whole estimates: the warm one's own part is the smaller one in any case.
        let mut warm = f64::INFINITY;
        let mut cold = f64::INFINITY;
        let mut best = f64::INFINITY;
        for (is_warm, estimate) in &estimates {
            lower(if *is_warm { &mut warm } else { &mut cold }, estimate.wait);
            lower(&mut best, estimate.seconds);
        }
        let gated = warm.is_finite() && warm - cold <= self.penalty(known.learned);
        scores.extend(estimates.into_iter().map(|(is_warm, Estimate { seconds, .. })| {
            let share = (best + STEP_SECONDS) / (seconds + STEP_SECONDS);
            // Within the gate all that are warm come first, each group in its own order.
            Score::clamped(match gated {
                true if is_warm => 0.5 + 0.5 * share,
                true => 0.499 * share,
                false => share,
            })
        }));
    }

    /// Returns the seconds that an endpoint which has the prompt may be behind.
    fn penalty(&self, learned: &Learned) -> f64 {
        let prompts = || Self::PENALTY_PROMPTS * learned.usual_tokens / learned.rates.of_pool();
        self.penalty_max.unwrap_or_else(prompts)
    }
}

/// Lowers `least` to a value below it. Of estimates, which are never NaN: `f64::min` sees to that
/// for each endpoint anew, which was a fifth of a choice among a thousand.
fn lower(least: &mut f64, value: f64) {
    if value < *least {
        *least = value;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        model::{Chain, InferenceRequest, Instant},
        pool::{EngineLoad, Slot, tests::member},
    };

    fn candidate(member: &crate::pool::EndpointState, matched: u32, tokens: u32) -> Candidate<'_> {
        let gauges = Some(EngineLoad { waiting: 0, running: 0, kv_usage: 0.0 });
        Candidate { gauges, tokens, ..Candidate::idle(member, matched) }
    }

    fn request(blocks: u32) -> InferenceRequest {
        InferenceRequest {
            chain: Chain { blocks, ..Chain::default() },
            ..InferenceRequest::default()
        }
    }

    /// Returns lessons of a pool that never comes to the end of its prompts.
    fn busy() -> Learned {
        let mut learned = Learned::default();
        learned.demand.add(u32::MAX, Instant::default());
        learned
    }

    /// Returns lessons in which prompts of so many tokens are usual.
    fn learned(usual: u32) -> Learned {
        let mut learned = Learned::default();
        learned.sent(usual);
        learned
    }

    fn scores(ttft: EstimatedTtft, candidates: &[Candidate<'_>], learned: &Learned) -> Vec<f64> {
        let mut scores = Vec::new();
        ttft.score(
            Known { request: &request(10), learned, now: Instant::default() },
            candidates,
            &mut scores,
        );
        scores.into_iter().map(Score::get).collect()
    }

    /// Of ten blocks of 64 tokens, at 15,928 tokens a second.
    #[test]
    fn the_estimate_is_the_formula() {
        let member = member(&[]);
        let learned = busy();
        let default = EstimatedTtft { kv_barrier: 0.0, ..EstimatedTtft::default() };
        let barrier = EstimatedTtft { kv_barrier: 0.15, ..default };
        for (ttft, matched, tokens, requests, computed, seconds) in [
            (default, 10, 0, 0, 0.0, 0.0),
            (default, 5, 0, 0, 3.0 * 320.0, 0.0),
            (default, 0, 1_000, 0, 1_000.0 + 3.0 * 640.0, 0.0),
            (default, 5, 640, 3, 640.0 + 3.0 * 320.0 + 3.0 * 45.0, 0.0),
            (barrier, 5, 640, 0, 640.0 + 3.0 * 320.0, 0.15),
        ] {
            let gauges = Some(EngineLoad { waiting: 0, running: 0, kv_usage: 0.5 });
            let candidate = Candidate { gauges, requests, ..candidate(&member, matched, tokens) };
            let found = seconds_of(ttft, &candidate, &learned);
            assert!((found - computed / 15_928.0 - seconds).abs() < 1e-9, "{candidate:?}: {found}");
        }
    }

    /// Of one endpoint that computes 15,928 tokens a second, by the share of its time for which it does.
    #[test]
    fn own_tokens_count_as_far_as_they_delay_others() {
        let member = member(&[]);
        let idle = candidate(&member, 5, 0);
        let ttft = EstimatedTtft { kv_barrier: 0.0, ..EstimatedTtft::default() };
        // Tokens of twenty seconds, by which 15,928 a second are the whole time.
        let shares = [(0, 0.5), (63_712, 0.5), (106_187, 1.0), (159_280, 2.0), (2_867_040, 2.0)];
        for (tokens, weight) in shares {
            let mut learned = Learned::default();
            learned.demand.add(tokens, Instant::default());
            let found = seconds_of(ttft, &idle, &learned) * 15_928.0 / 320.0;
            assert!((found - 1.0 - weight).abs() < 1e-3, "{tokens} tokens: {found}");
        }
    }

    /// Returns the estimate of a prompt of ten blocks.
    fn seconds_of(ttft: EstimatedTtft, candidate: &Candidate<'_>, learned: &Learned) -> f64 {
        Estimator::new(
            &ttft,
            Known { request: &request(10), learned, now: Instant::default() },
            &[*candidate],
        )
        .estimate(candidate)
        .seconds
    }

    /// 1,593 tokens are a tenth of a second.
    #[test]
    fn a_backlog_is_what_is_left_of_the_tokens_in_flight() {
        let member = member(&[]);
        let learned = Learned::default();
        let request = request(10);
        for (tokens, busy_for, seconds) in
            [(1_593, 9.0, 0.1), (1_593, 0.04, 0.04), (1_593, 0.0, 0.05), (0, 9.0, 0.0)]
        {
            let candidate = Candidate { busy_for, ..candidate(&member, 0, tokens) };
            let ttft = EstimatedTtft::default();
            let wait = Estimator::new(
                &ttft,
                Known { request: &request, learned: &learned, now: Instant::default() },
                &[candidate],
            )
            .estimate(&candidate)
            .wait;
            assert!((wait - seconds).abs() < 1e-4, "{tokens} for {busy_for} s: {wait}");
        }
    }

    #[test]
    fn what_others_sent_counts_as_far_as_it_is_seen() {
        let member = member(&[]);
        let mut learned = learned(5_000);
        (0..8).for_each(|_| learned.strangers.seen(member.slot, 9));
        let default = EstimatedTtft { kv_barrier: 0.0, ..EstimatedTtft::default() };
        for (waiting, running, requests, tokens) in [
            (0, 0, 0, 0.0),
            (0, 4, 4, 180.0),
            // Running requests may have ended since the scrape.
            (0, 4, 0, 0.0),
            (3, 4, 7, 315.0),
            (3, 4, 6, 5_000.0 + 315.0),
            (3, 4, 0, 3.0 * 5_000.0 + 135.0),
        ] {
            let gauges = Some(EngineLoad { waiting, running, kv_usage: 0.0 });
            let candidate = Candidate { gauges, requests, ..candidate(&member, 10, 0) };
            let found = seconds_of(default, &candidate, &learned) * 15_928.0;
            assert!((found - tokens).abs() < 1e-6, "{waiting} wait of {requests}: {found}");
        }
    }

    #[test]
    fn what_not_all_of_eight_pages_show_is_our_own() {
        let member = member(&[]);
        let mut learned = learned(5_000);
        let gauges = Some(EngineLoad { waiting: 3, running: 4, kv_usage: 0.0 });
        let candidate = Candidate { gauges, ..candidate(&member, 10, 0) };
        let default = EstimatedTtft { kv_barrier: 0.0, ..EstimatedTtft::default() };
        for (excess, pages, others) in [(9, 1, 3.0), (1, 1, 1.0), (0, 1, 0.0), (9, 7, 0.0)] {
            (0..pages).for_each(|_| learned.strangers.seen(member.slot, excess));
            let found = seconds_of(default, &candidate, &learned) * 15_928.0;
            assert!((found - others * 5_045.0).abs() < 1e-6, "{excess}: {found}");
        }
    }

    #[test]
    fn the_unseen_come_after_all_that_are_seen_until_those_are_busy() {
        let member = member(&[]);
        let mut learned = learned(1_000);
        (0..8).for_each(|_| learned.strangers.seen(member.slot, 1));
        let ttft = EstimatedTtft::default();
        let unseen = Candidate { gauges: None, ..candidate(&member, 0, 0) };
        let waiting = |waiting| Some(EngineLoad { waiting, running: 0, kv_usage: 0.0 });
        for (tokens, is_first) in [(0, true), (1_800, true), (2_000, false)] {
            let idle = candidate(&member, 0, tokens);
            let busy = Candidate { gauges: waiting(1), ..candidate(&member, 0, tokens) };
            let [unseen, _, seen] = scores(ttft, &[unseen, idle, busy], &learned)[..] else {
                panic!()
            };
            assert_eq!(seen > unseen, is_first, "{tokens} in flight");
        }
        let alone = scores(ttft, &[unseen, unseen], &learned);
        assert!(alone.iter().all(|score| (score - 1.0).abs() < 1e-12), "nobody is seen");
    }

    #[test]
    fn of_equals_the_one_with_the_emptier_cache_is_first() {
        let member = member(&[]);
        let learned = Learned::default();
        let ttft = EstimatedTtft::default();
        let with = |kv_usage, tokens| {
            let gauges = Some(EngineLoad { waiting: 0, running: 0, kv_usage });
            Candidate { gauges, ..candidate(&member, 0, tokens) }
        };
        for (full, tokens) in [(0.1, 0), (0.9, 0), (0.0, 500)] {
            let [first, second] = scores(ttft, &[with(0.0, 0), with(full, tokens)], &learned)[..]
            else {
                panic!()
            };
            assert!(first > second, "{full}, {tokens}");
        }
    }

    #[test]
    fn warm_ones_come_first_until_they_are_far_behind() {
        let member = member(&[]);
        let second = EstimatedTtft { penalty_max: Some(1.0), ..EstimatedTtft::default() };
        for (ttft, usual, matched, ahead, warm_first) in [
            // Two prompts of the usual length are no reason to leave, and more are.
            (EstimatedTtft::default(), 5_000, 3, 9_990, true),
            (EstimatedTtft::default(), 5_000, 3, 10_010, false),
            (EstimatedTtft::default(), 50_000, 3, 99_900, true),
            // Less than 30 % of the prompt is no reason to stay.
            (EstimatedTtft::default(), 5_000, 2, 9_990, false),
            (second, 5_000, 3, 15_900, true),
            (second, 5_000, 3, 15_960, false),
        ] {
            let both = [candidate(&member, matched, ahead), candidate(&member, 0, 0)];
            let [warm, cold] = scores(ttft, &both, &learned(usual))[..] else { panic!() };
            assert_eq!(warm > cold, warm_first, "{matched} blocks, {ahead} of {usual}");
        }
    }

    #[test]
    fn equals_are_equal_and_the_idle_are_best() {
        let member = member(&[]);
        let learned = Learned::default();
        let ttft = EstimatedTtft::default();
        let idle = candidate(&member, 0, 0);
        let of = |other| scores(ttft, &[other, idle], &learned);
        assert!(of(idle).iter().all(|score| (score - 1.0).abs() < 1e-12));
        for busy in [candidate(&member, 0, 5_000), Candidate { requests: 1, ..idle }] {
            let [busy, idle] = of(busy)[..] else { panic!() };
            assert!(busy < idle);
        }
    }

    #[test]
    fn a_slow_endpoint_has_to_be_less_busy() {
        let member = member(&[]);
        let mut learned = Learned::default();
        let candidate = candidate(&member, 0, 1_000);
        let wait = |learned: &Learned| {
            let ttft = EstimatedTtft::default();
            Estimator::new(
                &ttft,
                Known { request: &InferenceRequest::default(), learned, now: Instant::default() },
                &[candidate],
            )
            .estimate(&candidate)
            .wait
        };
        let before = wait(&learned);
        for other in 1..8 {
            (0..50)
                .for_each(|_| learned.rates.observe(Slot(other), 15_928, Duration::from_secs(1)));
        }
        assert!((wait(&learned) - before).abs() < 1e-9, "as fast as the pool");
        (0..50).for_each(|_| learned.rates.observe(member.slot, 3_000, Duration::from_secs(1)));
        (1..8).cycle().take(70).for_each(|other| {
            learned.rates.observe(Slot(other), 15_928, Duration::from_secs(1));
        });
        assert!(wait(&learned) > 3.0 * before);
    }

    /// By its own pace, the cost for others would have a slow endpoint starve.
    #[test]
    fn what_a_request_costs_others_goes_by_the_pools_pace() {
        let member = member(&[]);
        let mut learned = busy();
        for _ in 0..500 {
            learned.rates.observe(Slot(7), 16_000, Duration::from_secs(1));
            learned.rates.observe(Slot(8), 16_000, Duration::from_secs(1));
            learned.rates.observe(member.slot, 4_000, Duration::from_secs(1));
        }
        let rate = learned.rates.of_pool();
        let slow = learned.rates.of_slow(member.slot, rate).unwrap();
        let ttft = EstimatedTtft { kv_barrier: 0.0, ..EstimatedTtft::default() };
        let candidate = Candidate { requests: 3, ..candidate(&member, 0, 0) };
        let found = seconds_of(ttft, &candidate, &learned);
        let expected = 640.0 / slow + (2.0 * 640.0 + 3.0 * 45.0) / rate;
        assert!((found - expected).abs() < 1e-9, "{found}, not {expected}");
    }
}
