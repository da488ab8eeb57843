//! SMG (Shepherd Model Gateway) 1.13, `cache_aware`: the longest match, unless that worker is loaded well
//! above the fleet's mean; misses and spills go to its `least_load`.

use std::time::Duration;

use super::cache_aware::TREE_BLOCKS;
use crate::peer::{Knows, Policy, View};

/// Share below which a match is none (`cache_threshold`).
const MATCH: f64 = 0.3;
/// Multiple of the mean from which on a worker has too much, if it is also above `mean + min(64,
/// max(4, 2 sqrt(mean)))`.
const RELATIVE: f64 = 1.5;
/// Tokens that a request stands for where the worker does not tell how many wait, as vLLM does not.
const REQUEST_TOKENS: f64 = 1024.0;
/// Tokens per second of a worker that reports none.
const THROUGHPUT: f64 = 2000.0;
/// Seconds for a full KV cache: `0.15 k / (1 - k)`.
const KV_BARRIER: f64 = 0.15;

#[derive(Debug)]
pub(crate) struct Smg;

impl Policy for Smg {
    fn pick(&mut self, view: &mut View<'_>) -> usize {
        let total: usize = view.loads.iter().map(|load| load.requests).sum();
        let mean = total as f64 / view.loads.len() as f64;
        let longest = view.least(view.pods(), |view, pod| -view.share(pod));
        let load = view.load(longest).requests as f64;
        let slack = (2.0 * mean.sqrt()).ceil().clamp(4.0, 64.0);
        let spills = load > mean + slack && load > RELATIVE * mean;
        if view.share(longest) > MATCH && !spills {
            return longest;
        }
        view.least(view.pods(), expected_wait)
    }

    fn knows(&self) -> Knows {
        Knows::Placements { blocks_per_pod: Some(TREE_BLOCKS) }
    }

    fn scrapes_every(&self) -> Option<Duration> {
        Some(Duration::from_secs(10))
    }
}

/// Returns the seconds until a worker would come to a new request. Dispatches since the last poll
/// are credited, so that a stale poll does not draw every request to the same worker.
fn expected_wait(view: &View<'_>, pod: usize) -> f64 {
    let reading = view.reading(pod);
    let load = view.load(pod);
    let requests = reading.waiting + reading.running + load.unseen;
    let tokens = requests as f64 * REQUEST_TOKENS;
    let kv = reading.kv_usage.min(0.999);
    tokens / THROUGHPUT + KV_BARRIER * kv / (1.0 - kv)
}
