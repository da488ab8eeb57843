//! The figures of a replay.

use std::time::Duration;

use crate::{
    trace::{Request, Trace},
    world::{Outcome, Served},
};

/// Time within which a well-served request has its first token, ...
const SLO_TTFT: Duration = Duration::from_secs(2);
/// ... once more for each of these many prompt tokens (a long prompt's user expects to wait), ...
const SLO_PROMPT: usize = 20_480;
/// ... and time between further tokens at most: faster than people read.
const SLO_TPOT: Duration = Duration::from_millis(60);

/// The figures of one replay. Times in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figures {
    /// Prompt tokens taken from caches, as a share of all.
    pub(crate) hit: f64,
    pub(crate) ttft_mean: f64,
    pub(crate) ttft_p90: f64,
    pub(crate) ttft_p99: f64,
    pub(crate) tpot_p90: f64,
    /// Prompt tokens computed by the busiest pod, over the mean of all.
    pub(crate) imbalance: f64,
    /// Requests that were served well, as a share of all.
    pub(crate) goodput: f64,
}

impl Figures {
    /// Reads the figures off an outcome.
    pub(crate) fn from_outcome(trace: &Trace, outcome: &Outcome) -> Self {
        let pairs = || trace.requests.iter().zip(&outcome.served);
        let prompts: usize = trace.requests.iter().map(|request| request.prompt).sum();
        let cached: usize = outcome.served.iter().map(|served| served.cached).sum();
        let mut ttfts: Vec<f64> = pairs().map(|(request, served)| ttft(request, served)).collect();
        let mut tpots: Vec<f64> = outcome.served.iter().filter_map(tpot).collect();
        let good = pairs().filter(|(request, served)| is_good(request, served)).count();
        let count = outcome.served.len().max(1) as f64;
        let busiest = outcome.computed.iter().max().copied().unwrap_or(0) as f64;
        let mean = outcome.computed.iter().sum::<u64>() as f64 / outcome.computed.len() as f64;
        Self {
            hit: cached as f64 / prompts.max(1) as f64,
            ttft_mean: ttfts.iter().sum::<f64>() / count,
            ttft_p90: quantile(&mut ttfts, 0.9),
            ttft_p99: quantile(&mut ttfts, 0.99),
            tpot_p90: quantile(&mut tpots, 0.9),
            imbalance: busiest / mean,
            goodput: good as f64 / count,
        }
    }
}

/// Returns the seconds from the request to its first token.
fn ttft(request: &Request, served: &Served) -> f64 {
    served.first.map_or(f64::INFINITY, |first| first.saturating_sub(request.at).as_secs_f64())
}

/// Returns the seconds per token after the first; none if there is no further token.
fn tpot(served: &Served) -> Option<f64> {
    let first = served.first?;
    let last = served.last?;
    let further = served.tokens.checked_sub(1).filter(|further| *further > 0)?;
    Some((last - first).as_secs_f64() / further as f64)
}

fn is_good(request: &Request, served: &Served) -> bool {
    let prompt = SLO_TTFT.mul_f64(request.prompt as f64 / SLO_PROMPT as f64);
    ttft(request, served) <= (SLO_TTFT + prompt).as_secs_f64()
        && tpot(served).is_none_or(|tpot| tpot <= SLO_TPOT.as_secs_f64())
}

/// Returns the value that a share `q` of all lies at or under (nearest rank); zero of none.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank lies between 0 and a length"
)]
fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let rank = ((values.len() as f64 * q).ceil() as usize).saturating_sub(1);
    values.get(rank).copied().unwrap_or(0.0)
}
