//! llm-d, prefix-cache-affinity-filter and token-load-scorer: the guides' default since August 2026 ("Sticky
//! Until Saturated"). Pods that have most of the prompt are kept, unless they are far busier; of
//! those the one with the fewest uncached tokens takes it.

use crate::peer::{Policy, View};

/// Share of the prompt from which on a pod is warm (`affinityThreshold`).
const AFFINITY: f64 = 0.8;
/// Seconds that a warm pod may be slower (`maxTTFTPenaltyMs`), at this many tokens per second
/// (`peakPrefillThroughput`).
const PENALTY: f64 = 18.0;
const PEAK: f64 = 15_928.0;

#[derive(Debug)]
pub(crate) struct LlmDTokenAware;

impl Policy for LlmDTokenAware {
    fn pick(&mut self, view: &mut View<'_>) -> usize {
        let is_warm = |pod: &usize| view.share(*pod) >= AFFINITY;
        let (warm, cold): (Vec<usize>, Vec<usize>) = view.pods().partition(is_warm);
        let ttft = |pods: &[usize]| {
            let seconds = |pod: &usize| view.load(*pod).uncached as f64 / PEAK;
            pods.iter().map(seconds).fold(f64::INFINITY, f64::min)
        };
        let stays = !warm.is_empty() && (cold.is_empty() || ttft(&warm) - ttft(&cold) <= PENALTY);
        let kept: Vec<usize> = if stays { warm } else { view.pods().collect() };
        view.least(kept, |view, pod| (view.load(pod).uncached + view.uncached(pod)) as f64)
    }
}
