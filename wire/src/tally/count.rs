//! The counts of one label set.

use serde::{Deserialize, Serialize};

use super::{FamilyKind, Labels, Measure};

/// Buckets of a histogram at most, the one above all bounds included.
const BUCKETS_MAX: usize = 64;

/// Measures of one label set at most: as many as there are, and room for those of a newer version.
const MEASURES_MAX: usize = 128;

/// A counter, or a histogram.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Value of a counter; sum of a histogram's values.
    pub sum: u64,
    /// Number of values in each bucket of a histogram, not summed up; buckets behind the last one
    /// that has any may be missing. The bucket behind the last bound has what is above it.
    pub buckets: Vec<u64>,
}

/// Counts of one label set in one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelSet<'a> {
    /// Labels that the counts are of.
    #[serde(borrow)]
    pub labels: Labels<'a>,
    /// True once a request with these labels succeeded, so that they are no invention.
    pub is_proven: bool,
    /// Requests with these labels that have begun and not ended.
    pub running: u32,
    /// Counts by measure, in the order of their first use.
    pub counts: Vec<(Measure, Count)>,
    /// Amount of what those requests pin: bytes of requests that wait, or prompt tokens on their way that are not computed
    /// yet.
    pub amount: u64,
}

impl Count {
    /// Takes in one value of a measure.
    pub fn record(&mut self, measure: Measure, value: u64) {
        self.add(measure.family().kind, value);
    }

    /// True if it has no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sum == 0 && self.buckets.is_empty()
    }

    /// Takes in one value, of a counter how much more there is.
    pub(super) fn add(&mut self, kind: FamilyKind, value: u64) {
        self.sum = self.sum.saturating_add(value);
        let FamilyKind::Histogram(bounds) = kind else { return };
        let bucket = bounds.partition_point(|bound| *bound < value);
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
        }
    }

    /// Adds another count.
    pub fn merge(&mut self, other: &Self) {
        self.sum = self.sum.saturating_add(other.sum);
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (into, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *into = into.saturating_add(*more);
        }
    }

    /// Returns what is new since an earlier count of the same epoch. A number that fell, which no
    /// worker's does, is nothing new.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = earlier.buckets.iter().chain(std::iter::repeat(&0));
        let buckets = self.buckets.iter().zip(before).map(|(now, then)| now.saturating_sub(*then));
        Self { sum: self.sum.saturating_sub(earlier.sum), buckets: buckets.collect() }
    }
}

impl LabelSet<'_> {
    /// Takes in a value of a measure.
    pub(super) fn add(&mut self, measure: Measure, value: u64) {
        let kind = measure.family().kind;
        if let Some((_, count)) = self.counts.iter_mut().find(|(it, _)| *it == measure) {
            return count.add(kind, value);
        }
        let mut count = Count::default();
        count.add(kind, value);
        self.counts.push((measure, count));
    }

    /// Takes in values of a measure that were gathered apart.
    pub(super) fn merge(&mut self, measure: Measure, more: &Count) {
        match self.counts.iter_mut().find(|(it, _)| *it == measure) {
            Some((_, count)) => count.merge(more),
            None => self.counts.push((measure, more.clone())),
        }
    }

    /// Returns the count of a measure; none where nothing was counted.
    #[must_use]
    pub fn count(&self, measure: Measure) -> Option<&Count> {
        self.counts.iter().find(|(it, _)| *it == measure).map(|(_, count)| count)
    }

    /// Returns the bytes that [`LabelSet::decode`] reads.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Numbers and text always serialise.
        postcard::to_extend(self, Vec::with_capacity(256)).unwrap_or_default()
    }

    /// Reads a label set. `None` for bytes that are none, or have more buckets or measures than
    /// there can be.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<LabelSet<'_>> {
        let (set, rest): (LabelSet<'_>, _) = postcard::take_from_bytes(bytes).ok()?;
        let fits = set.counts.len() <= MEASURES_MAX
            && set.counts.iter().all(|(_, count)| count.buckets.len() <= BUCKETS_MAX);
        (fits && rest.is_empty()).then_some(set)
    }

    /// Returns the label set with names of its own.
    #[must_use]
    pub fn into_owned(self) -> LabelSet<'static> {
        let Self { labels, is_proven, running, counts, amount } = self;
        LabelSet { labels: labels.into_owned(), is_proven, running, counts, amount }
    }
}
