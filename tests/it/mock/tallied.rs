//! What workers have counted, as a scraper is told it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use wire::tally::{LabelSet, Labels, Measure};

use super::{push::Pod, report::reply, world::World};

/// The label sets of all workers.
pub(super) struct Tallied(Vec<LabelSet<'static>>);

impl Tallied {
    /// Lets every worker write its counts, and asks for all of them with a push of these pods.
    pub(super) fn of(world: &World, pods: &[Pod]) -> Self {
        world.envoy.run_for(Duration::from_millis(1_100));
        let mut sets = Vec::new();
        let mut have = None;
        loop {
            let counts = reply(world, 0, pods, have).counts;
            if counts.sets.is_empty() {
                return Self(sets);
            }
            have = Some(counts.have);
            let read = |(_, bytes): &(u32, Vec<u8>)| LabelSet::decode(bytes).unwrap().into_owned();
            sets.extend(counts.sets.iter().map(read));
        }
    }

    /// The sum of a measure over all workers.
    pub(super) fn sum(&self, labels: &Labels<'_>, measure: Measure) -> u64 {
        let sets = self.0.iter().filter(|set| set.labels == *labels);
        sets.filter_map(|set| set.count(measure)).map(|count| count.sum).sum()
    }

    /// The number of a histogram's values over all workers.
    pub(super) fn values(&self, labels: &Labels<'_>, measure: Measure) -> u64 {
        let sets = self.0.iter().filter(|set| set.labels == *labels);
        sets.filter_map(|set| set.count(measure)).flat_map(|count| &count.buckets).sum()
    }

    /// The requests that are there with these labels, over all workers.
    pub(super) fn present(&self, labels: &Labels<'_>) -> u32 {
        self.0.iter().filter(|set| set.labels == *labels).map(|set| set.running).sum()
    }

    /// What those requests pin.
    pub(super) fn pinned(&self, labels: &Labels<'_>) -> u64 {
        self.0.iter().filter(|set| set.labels == *labels).map(|set| set.amount).sum()
    }

    /// The sum of a measure over all label sets.
    pub(super) fn total(&self, measure: Measure) -> u64 {
        self.0.iter().filter_map(|set| set.count(measure)).map(|count| count.sum).sum()
    }

    /// The label sets that are counted apart.
    pub(super) fn sets(&self) -> &[LabelSet<'static>] {
        &self.0
    }
}
