//! LMetric (arXiv 2603.15202): the least product of prompt tokens to compute and batch size, each with the
//! request itself.

use crate::peer::{Policy, View};

#[derive(Debug)]
pub(crate) struct LMetric;

impl Policy for LMetric {
    fn pick(&mut self, view: &mut View<'_>) -> usize {
        view.least(view.pods(), |view, pod| {
            let load = view.load(pod);
            (load.uncached + view.uncached(pod)) as f64 * (load.requests + 1) as f64
        })
    }
}
