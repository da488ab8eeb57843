//! AIBrix 0.8, `prefix-cache`: the longest match among pods with running requests not far above the
//! mean, and the least loaded when they are far apart.

use crate::peer::{Knows, Policy, View};

/// Requests between the busiest pod and the idlest above which load decides
/// (`AIBRIX_PREFIX_CACHE_POD_RUNNING_REQUEST_IMBALANCE_ABS_COUNT`).
const IMBALANCE: usize = 16;
/// Standard deviations above the mean at which a pod is left out
/// (`AIBRIX_PREFIX_CACHE_STANDARD_DEVIATION_FACTOR`).
const DEVIATIONS: f64 = 2.0;
/// Number of blocks in the index, which is bounded by its own memory and not by the pods'.
const INDEX_BLOCKS: usize = 1 << 16;

#[derive(Debug)]
pub(crate) struct Aibrix;

impl Policy for Aibrix {
    fn pick(&mut self, view: &mut View<'_>) -> usize {
        let requests = |view: &View<'_>, pod: usize| view.load(pod).requests as f64;
        let all: Vec<usize> = view.loads.iter().map(|load| load.requests).collect();
        let least = all.iter().min().unwrap_or(&0);
        let most = all.iter().max().unwrap_or(&0);
        if most - least > IMBALANCE {
            return view.least(view.pods(), requests);
        }
        let mean = all.iter().sum::<usize>() as f64 / all.len() as f64;
        let square = |count: &usize| (*count as f64 - mean).powi(2);
        let deviation = (all.iter().map(square).sum::<f64>() / all.len() as f64).sqrt();
        let limit = mean + DEVIATIONS * deviation;
        let fits: Vec<usize> = view
            .pods()
            .filter(|pod| view.matched(*pod) > 0 && requests(view, *pod) <= limit)
            .collect();
        if fits.is_empty() {
            return view.least(view.pods(), requests);
        }
        // The most matched percent first, then the fewest requests.
        view.least(fits, |view, pod| requests(view, pod) - (view.share(pod) * 100.0).floor() * 1e6)
    }

    fn knows(&self) -> Knows {
        Knows::Placements { blocks_per_pod: Some(INDEX_BLOCKS) }
    }
}
