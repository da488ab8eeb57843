//! The pod with the fewest requests in flight: Envoy's LEAST_REQUEST with `selection_method: FULL_SCAN`,
//! which is better than its default of two random choices.

use crate::peer::{Knows, Policy, View};

#[derive(Debug)]
pub(crate) struct LeastRequest;

impl Policy for LeastRequest {
    fn pick(&mut self, view: &mut View<'_>) -> usize {
        view.least(view.pods(), |view, pod| view.load(pod).requests as f64)
    }

    fn knows(&self) -> Knows {
        Knows::Nothing
    }
}
