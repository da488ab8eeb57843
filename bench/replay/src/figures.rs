//! The figures of a replay.

use std::time::Duration;

use crate::{
    trace::{Request, Trace, Window},
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
    /// Requests served per second.
    pub(crate) rate: f64,
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
    /// Reads the figures off an outcome, of the requests that were sent within the trace's window.
    pub(crate) fn from_outcome(trace: &Trace, outcome: &Outcome) -> Self {
        let from = trace.window.map_or(Duration::ZERO, |window| window.from);
        let is_counted = |served: &&Served| served.due.is_some_and(|due| due >= from);
        let pairs = || {
            let all = trace.requests.iter().zip(&outcome.served);
            all.filter(move |(_, served)| is_counted(served))
        };
        let prompts: usize = pairs().map(|(request, _)| request.prompt).sum();
        let cached: usize = pairs().map(|(_, served)| served.cached).sum();
        let mut ttfts: Vec<f64> = pairs().map(|(_, served)| ttft(served)).collect();
        let mut tpots: Vec<f64> = pairs().filter_map(|(_, served)| tpot(served)).collect();
        let good = pairs().filter(|(request, served)| is_good(request, served)).count();
        let count = ttfts.len().max(1) as f64;
        let busiest = outcome.computed.iter().max().copied().unwrap_or(0) as f64;
        let mean = outcome.computed.iter().sum::<u64>() as f64 / outcome.computed.len() as f64;
        Self {
            rate: rate(trace, pairs().filter_map(|(_, served)| served.last)),
            hit: cached as f64 / prompts.max(1) as f64,
            ttft_mean: ttfts.iter().sum::<f64>() / count,
            ttft_p90: quantile(&mut ttfts, 0.9),
            ttft_p99: quantile(&mut ttfts, 0.99),
            tpot_p90: quantile(&mut tpots, 0.9),
            imbalance: busiest / mean,
            goodput: good as f64 / count,
        }
    }

    /// Returns the mean of several replays' figures.
    pub(crate) fn mean(all: &[Self]) -> Self {
        let count = all.len().max(1) as f64;
        let mean = |figure: fn(&Self) -> f64| all.iter().map(figure).sum::<f64>() / count;
        Self {
            rate: mean(|it| it.rate),
            hit: mean(|it| it.hit),
            ttft_mean: mean(|it| it.ttft_mean),
            ttft_p90: mean(|it| it.ttft_p90),
            ttft_p99: mean(|it| it.ttft_p99),
            tpot_p90: mean(|it| it.tpot_p90),
            imbalance: mean(|it| it.imbalance),
            goodput: mean(|it| it.goodput),
        }
    }
}

/// Returns the requests that ended per second of the window; without one, up to the last end.
fn rate(trace: &Trace, ends: impl Iterator<Item = Duration>) -> f64 {
    let ends: Vec<Duration> = ends.collect();
    let whole =
        Window { from: Duration::ZERO, until: ends.iter().max().copied().unwrap_or_default() };
    let Window { from, until } = trace.window.unwrap_or(whole);
    let within = ends.iter().filter(|end| **end <= until).count();
    within as f64 / (until - from).as_secs_f64().max(f64::MIN_POSITIVE)
}

/// Returns the seconds from the request to its first token.
fn ttft(served: &Served) -> f64 {
    let took = |first: Duration| Some(first.saturating_sub(served.due?).as_secs_f64());
    served.first.and_then(took).unwrap_or(f64::INFINITY)
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
    ttft(served) <= (SLO_TTFT + prompt).as_secs_f64()
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
