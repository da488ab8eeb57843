//! Every pod in turn, which a Kubernetes service comes close to.

use crate::peer::{Knows, Policy, View};

#[derive(Debug, Default)]
pub(crate) struct RoundRobin {
    next: usize,
}

impl Policy for RoundRobin {
    fn pick(&mut self, view: &mut View<'_>) -> usize {
        self.next += 1;
        self.next % view.loads.len().max(1)
    }

    fn knows(&self) -> Knows {
        Knows::Nothing
    }
}
