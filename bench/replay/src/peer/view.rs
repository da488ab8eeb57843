//! The knowledge on which a policy chooses.

use super::Load;
use crate::{fleet::Reading, trace::Request};

/// A gateway's view of all pods, each list in the order of their numbers.
#[derive(Debug)]
pub(crate) struct View<'a> {
    /// Request to be placed.
    pub(crate) request: &'a Request,
    /// Prompt tokens that each pod is believed to have cached.
    pub(crate) matched: &'a [usize],
    /// Load of each pod by this gateway's requests.
    pub(crate) loads: &'a [Load],
    /// Last metrics of each pod.
    pub(crate) readings: &'a [Reading],
    /// Number of blocks that the index holds for each pod.
    pub(crate) index_sizes: &'a [usize],
    /// Chance, which decides ties.
    pub(crate) chance: &'a mut fastrand::Rng,
}

impl View<'_> {
    /// Returns the numbers of all pods.
    pub(crate) fn pods(&self) -> std::ops::Range<usize> {
        0..self.loads.len()
    }

    /// Returns this gateway's load on a pod.
    pub(crate) fn load(&self, pod: usize) -> Load {
        self.loads.get(pod).copied().unwrap_or_default()
    }

    /// Returns a pod's last metrics.
    pub(crate) fn reading(&self, pod: usize) -> Reading {
        self.readings.get(pod).cloned().unwrap_or_default()
    }

    /// Returns the prompt tokens that a pod is believed to have cached.
    pub(crate) fn matched(&self, pod: usize) -> usize {
        self.matched.get(pod).copied().unwrap_or(0)
    }

    /// Returns the share of the prompt that a pod is believed to have cached, 0 to 1.
    pub(crate) fn share(&self, pod: usize) -> f64 {
        self.matched(pod) as f64 / self.request.prompt.max(1) as f64
    }

    /// Returns the prompt tokens that a pod would have to compute.
    pub(crate) fn uncached(&self, pod: usize) -> usize {
        self.request.prompt.saturating_sub(self.matched(pod))
    }

    /// Returns the pod with the least cost; of equals one at random.
    pub(crate) fn least(
        &mut self,
        pods: impl IntoIterator<Item = usize>,
        cost: impl Fn(&Self, usize) -> f64,
    ) -> usize {
        let mut best = 0;
        let mut lowest = f64::INFINITY;
        let mut equals = 0;
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
