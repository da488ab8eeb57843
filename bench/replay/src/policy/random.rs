//! Any pod: Envoy's RANDOM.

use crate::peer::{Knows, Policy, View};

#[derive(Debug)]
pub(crate) struct Random;

impl Policy for Random {
    fn pick(&mut self, view: &mut View<'_>) -> usize {
        view.least(view.pods(), |_, _| 0.0)
    }

    fn knows(&self) -> Knows {
        Knows::Nothing
    }
}
