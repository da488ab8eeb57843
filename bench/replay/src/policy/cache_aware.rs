//! SGLang router and vllm-router, `cache_aware` (sgl-router, `policies/cache_aware.rs`): the longest match,
//! unless loads are far apart.

use crate::peer::{Knows, Policy, View};

/// `balance_abs_threshold` and `balance_rel_threshold`: both must be passed for load to decide.
const ABSOLUTE: usize = 64;
const RELATIVE: f64 = 1.5;
/// Share below which a match is none (`cache_threshold`).
const MATCH: f64 = 0.3;
/// Number of blocks: `max_tree_size` of 2^25 characters per worker, at 4 a token.
pub(super) const TREE_BLOCKS: usize = (1 << 25) / (4 * crate::trace::BLOCK_TOKENS);

#[derive(Debug)]
pub(crate) struct CacheAware;

impl Policy for CacheAware {
    fn pick(&mut self, view: &mut View<'_>) -> usize {
        let requests = || view.loads.iter().map(|load| load.requests);
        let least = requests().min().unwrap_or(0);
        let most = requests().max().unwrap_or(0);
        if most - least > ABSOLUTE && most as f64 > RELATIVE * least as f64 {
            return view.least(view.pods(), |view, pod| view.load(pod).requests as f64);
        }
        let longest = view.least(view.pods(), |view, pod| -view.share(pod));
        if view.share(longest) > MATCH {
            return longest;
        }
        view.least(view.pods(), |view, pod| view.index_sizes.get(pod).copied().unwrap_or(0) as f64)
    }

    fn knows(&self) -> Knows {
        Knows::Placements { blocks_per_pod: Some(TREE_BLOCKS) }
    }
}
