//! The estimate of one endpoint's time to the first token.

use super::{
    EstimatedTtft,
    adapter::AdapterPrice,
    known::Known,
    reuse::{CopyPrice, PaidTokens},
};
use crate::pool::{Candidate, Learned};

/// Tokens that a request in flight counts as: its answer takes part in each step of the engine, also
/// when its prompt is long computed. From 30 to 60 all loads of `bench replay` do alike. At 0 batches
/// drift apart, and at 100 a request leaves a short queue for a longer one.
const REQUEST_TOKENS: f64 = 45.0;

/// Factor of the tokens that drive out of a cache what will be asked for again: those are computed
/// anew, and drive out others in turn. At 0, caches that just hold each prefix once serve 4 % less
/// than by stickiness alone; at 2 it is 3 %.
const EVICTION_WEIGHT: f64 = 4.0;

/// Share of the tokens in flight that are left where all should have been computed by now and no first
/// content came: the engine waits for KV cache or for another's requests, or is slower than the pool. At 0
/// such an endpoint looks idle, and draws what comes; at 1 conversations leave it too soon.
const OVERDUE_SHARE: f64 = 0.5;

/// The estimate for one endpoint.
pub(super) struct Estimate {
    /// Seconds until it has computed what it was sent before, and what it takes longer than others
    /// for the request's own tokens.
    pub(super) wait: f64,
    /// Seconds to the first token, and what the request costs those that come after.
    pub(super) seconds: f64,
}

/// The facts by which all candidates for one request are estimated.
pub(super) struct Estimator<'a> {
    ttft: &'a EstimatedTtft,
    known: Known<'a>,
    copies: CopyPrice<'a>,
    adapter: AdapterPrice<'a>,
    /// Factor of the request's own tokens, beyond what they delay itself.
    own_weight: f64,
    /// Tokens that an endpoint is taken to owe to others while it is not seen.
    unseen: f64,
    /// Tokens a second of the pool, and seconds a token: a division less for each endpoint.
    rate: f64,
    pace: f64,
}

impl<'a> Estimator<'a> {
    pub(super) fn new(
        ttft: &'a EstimatedTtft,
        known: Known<'a>,
        candidates: &[Candidate<'_>],
    ) -> Self {
        let Known { request, learned, now } = known;
        let others = candidates.iter().filter_map(|it| waiting_of_others(it, learned)).max();
        let most = f64::from(others.unwrap_or(0)) * learned.usual_tokens;
        // Whatever keeps its metrics away may keep its answers away: as much as the busiest, and
        // enough for a conversation to leave it.
        let prompt = learned.usual_tokens.max(f64::from(request.tokens()));
        let unseen = most + EstimatedTtft::PENALTY_PROMPTS * prompt;
        let rate = learned.rates.of_pool();
        let copies = CopyPrice::new(known, candidates);
        let adapter = AdapterPrice::new(known, candidates);
        let utilization = learned.demand.rate(now) / (rate * candidates.len().max(1) as f64);
        let own_weight = ttft.own_weight * delay_of_others(utilization).clamp(LEAST_DELAY, 1.0);
        Self { ttft, known, copies, adapter, own_weight, unseen, rate, pace: rate.recip() }
    }

    /// True if the endpoint has, or will soon have been paid for, enough of the prompt.
    pub(super) fn is_warm(&self, candidate: &Candidate<'_>) -> bool {
        match self.known.request.chain.blocks {
            0 => self.ttft.affinity <= 0.0,
            blocks => self.copies.blocks(candidate) / f64::from(blocks) >= self.ttft.affinity,
        }
    }

    pub(super) fn estimate(&self, candidate: &Candidate<'_>) -> Estimate {
        let learned = self.known.learned;
        let PaidTokens { own, evicting } = self.copies.tokens(candidate);
        let others = waiting_of_others(candidate, learned);
        let prompts = |others| f64::from(others) * learned.usual_tokens;
        let of_others = others.map_or(self.unseen, prompts);
        let requests = candidate.requests.saturating_add(others.unwrap_or(0));
        let slow = learned.rates.of_slow(candidate.slot, self.rate);
        let pace = slow.map_or(self.pace, f64::recip);
        let in_flight = f64::from(candidate.tokens) * pace;
        let is_overdue = candidate.busy_for <= 0.0;
        let backlog =
            if is_overdue { OVERDUE_SHARE * in_flight } else { in_flight.min(candidate.busy_for) };
        let slot = self.adapter.prompts(candidate) * learned.usual_tokens;
        let wait =
            backlog + candidate.unheard_for + (of_others + slot) * pace + own * (pace - self.pace);
        // The request's cost for others goes by the pool's pace: by its own, a slow endpoint would
        // count three times as slow, and get nothing.
        let ahead = (1.0 + self.own_weight) * own
            + EVICTION_WEIGHT * evicting
            + REQUEST_TOKENS * f64::from(requests);
        let kv = candidate.gauges.map_or(0.0, |gauges| f64::from(gauges.kv_usage).min(0.99));
        let barrier = self.ttft.kv_barrier * kv / (1.0 - kv);
        Estimate { wait, seconds: wait + ahead * self.pace + barrier }
    }
}

/// Least share of the own weight, however idle the endpoints are: of two ways to the same first token,
/// to wait for a prompt that is being computed and to compute it again, the first leaves an endpoint free.
const LEAST_DELAY: f64 = 0.25;

/// Returns the seconds that a second of computing delays the requests that come after, all together, where
/// endpoints compute prompts for this share of their time: it delays what comes until the endpoint is idle
/// again, and the busier it is, the longer that takes. Endless from 1 on, where it never is. What others send
/// is left out: with several gateways each sees a part of the load, and lets requests move more easily.
fn delay_of_others(utilization: f64) -> f64 {
    utilization / (1.0 - utilization.min(1.0))
}

/// Returns the number of requests that wait there and were not sent from here, as far as several pages
/// show them; `None` where it is not seen. Running requests are left out: a scrape has many of our own
/// that ended since.
fn waiting_of_others(candidate: &Candidate<'_>, learned: &Learned) -> Option<u32> {
    let gauges = candidate.gauges?;
    let others = gauges.waiting.saturating_add(gauges.running).saturating_sub(candidate.requests);
    Some(others.min(gauges.waiting).min(learned.strangers.requests(candidate.slot)))
}
