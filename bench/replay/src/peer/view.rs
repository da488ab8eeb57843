//! All that a policy sees when it chooses.

use super::Load;
use crate::{router::Reading, trace::Request};

/// Per pod, in the order of their numbers.
#[derive(Debug)]
pub(crate) struct View<'a> {
    /// What is to be placed.
    pub(crate) request: &'a Request,
    /// Prompt tokens that each pod is believed to have cached.
    pub(crate) matched: &'a [usize],
    /// What this gateway has in flight.
    pub(crate) loads: &'a [Load],
    /// The last metrics.
    pub(crate) readings: &'a [Reading],
    /// Blocks that the index holds.
    pub(crate) index_sizes: &'a [usize],
    /// For ties.
    pub(crate) chance: &'a mut fastrand::Rng,
}

impl View<'_> {
    /// The numbers of all pods.
    pub(crate) fn pods(&self) -> std::ops::Range<usize> {
        0..self.loads.len()
    }

    /// What this gateway has in flight on a pod.
    pub(crate) fn load(&self, pod: usize) -> Load {
        self.loads.get(pod).copied().unwrap_or_default()
    }

    /// A pod's last metrics.
    pub(crate) fn reading(&self, pod: usize) -> Reading {
        self.readings.get(pod).copied().unwrap_or_default()
    }

    /// Prompt tokens that a pod is believed to have cached.
    pub(crate) fn matched(&self, pod: usize) -> usize {
        self.matched.get(pod).copied().unwrap_or(0)
    }

    /// The share of the prompt that a pod is believed to have cached.
    pub(crate) fn share(&self, pod: usize) -> f64 {
        self.matched(pod) as f64 / self.request.prompt.max(1) as f64
    }

    /// Prompt tokens that a pod would have to compute.
    pub(crate) fn uncached(&self, pod: usize) -> usize {
        self.request.prompt.saturating_sub(self.matched(pod))
    }

    /// Which of the pods costs least; of equals one at random.
    pub(crate) fn least(
        &mut self,
        pods: impl IntoIterator<Item = usize>,
        cost: impl Fn(&Self, usize) -> f64,
    ) -> usize {
        let (mut best, mut lowest, mut equals) = (0, f64::INFINITY, 0);
        for pod in pods {
            let cost = cost(self, pod);
            if cost < lowest {
                (best, lowest, equals) = (pod, cost, 1);
            } else if cost <= lowest {
                equals += 1;
                if self.chance.usize(..equals) == 0 {
                    best = pod;
                }
            }
        }
        best
    }
}
