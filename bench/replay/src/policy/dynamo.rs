//! NVIDIA Dynamo 1.6, `--router-mode kv`: the least sum of prompt blocks to compute and blocks of active
//! requests (lib/kv-router, the default worker selector), over its KV events.

use crate::{
    peer::{Knows, Policy, View},
    trace::BLOCK_TOKENS,
};

/// Weight of the blocks to compute (`overlap_score_weight` or `kv_overlap_score_weight`).
const OVERLAP: f64 = 1.0;

#[derive(Debug)]
pub(crate) struct Dynamo;

impl Policy for Dynamo {
    fn pick(&mut self, view: &mut View<'_>) -> usize {
        let block = BLOCK_TOKENS as f64;
        view.least(view.pods(), |view, pod| {
            let load = view.load(pod);
            let prefill = (load.uncached + view.request.prompt) as f64 - view.matched(pod) as f64;
            let decode = (load.prompts + view.request.prompt) as f64;
            OVERLAP * (prefill.max(0.0) / block) + decode / block
        })
    }

    fn knows(&self) -> Knows {
        Knows::Events
    }
}
