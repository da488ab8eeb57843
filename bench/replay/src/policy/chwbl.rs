//! Consistent hashing with bounded loads (KubeAI's `PrefixHash`; Envoy's `ring_hash` with
//! `hash_balance_factor`; Mirrokni et al., SODA 2018): the prompt's beginning has a place on a ring, and the
//! first pod from there that has no more than 1.25 times the mean load takes it.

use crate::peer::{Knows, Policy, View};

/// Multiple of the mean load that a pod may have (KubeAI: `meanLoadPercentage`).
const LOAD_FACTOR: f64 = 1.25;
/// Number of points on the ring for each pod (KubeAI: `replication`).
const POINTS: u64 = 256;
/// The hashed beginning: 1,024 tokens. KubeAI's default of 100 characters is the same system prompt
/// for all of this traffic, and would make one home for everything.
const KEY_BLOCKS: usize = 2;

#[derive(Debug)]
pub(crate) struct Chwbl {
    /// Points on the ring and their pods, in order.
    ring: Vec<(u64, usize)>,
}

impl Chwbl {
    pub(crate) fn new(pods: usize) -> Self {
        let points =
            |pod: usize| (0..POINTS).map(move |point| (mix(pod as u64 * POINTS + point), pod));
        let mut ring: Vec<(u64, usize)> = (0..pods).flat_map(points).collect();
        ring.sort_unstable();
        Self { ring }
    }
}

impl Policy for Chwbl {
    fn pick(&mut self, view: &mut View<'_>) -> usize {
        let blocks = &view.request.blocks;
        let key = blocks.get(KEY_BLOCKS - 1).or_else(|| blocks.last()).copied().unwrap_or_default();
        let start = self.ring.partition_point(|(point, _)| *point < mix(!key));
        let total: usize = view.loads.iter().map(|load| load.requests).sum();
        let most = LOAD_FACTOR * (total + 1) as f64 / view.loads.len() as f64;
        let mut walk = self.ring.iter().cycle().skip(start).take(self.ring.len());
        let fits = |pod: usize| view.load(pod).requests as f64 + 1.0 <= most.ceil();
        walk.find(|(_, pod)| fits(*pod)).map_or(0, |(_, pod)| *pod)
    }

    fn knows(&self) -> Knows {
        Knows::Nothing
    }
}

/// Spreads numbers over the ring (the finish of splitmix64).
const fn mix(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
