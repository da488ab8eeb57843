//! The counts of one pool, by label set, over all workers of all gateways.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use wire::{
    reply::{Counts, WorkerState},
    tally::{Count, FamilyKind, LabelSet, Labels, Measure, OTHER, Places},
};

use super::{
    exposition::{Page, Sample},
    totals::PoolTotals,
};

/// Epochs of one pool that are remembered: workers of many gateways, and those of before restarts.
const EPOCHS_MAX: usize = 4096;

/// Label sets of all epochs together that are remembered. At 1 kB each they take 64 MB.
const KEPT_MAX: usize = 1 << 16;

/// Time after which an epoch that no gateway names is forgotten, if room is needed. A gateway that
/// is away for as long, and comes back with the same workers, would be counted twice.
const SILENCE_MAX: Duration = Duration::from_secs(600);

/// Time without anything new after which the counts of an endpoint are forgotten, if room is needed for others: pods come
/// and go, each with an address of its own, and a series that ends is what Prometheus expects of one that is gone.
const ENDPOINT_SILENCE_MAX: Duration = Duration::from_secs(3_600);

/// Time between two searches for such endpoints, each of which goes over all sums.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// Label sets of requests with histograms of their own. Each has some 300 series; further ones share
/// those of their models.
const MEASURED_MAX: usize = 100;

/// Pairs of models with histograms over all tenants that have none of their own.
const PAIRS_MAX: usize = 100;

/// Endpoints of one pool with histograms in the metrics, of some 45 series each; those of further ones are
/// added up. The status page has them all.
const ENDPOINTS_SHOWN_MAX: usize = 100;

/// Label sets with a gauge of requests that are there: as many as there are with counts.
const PRESENT_MAX: usize = 1_000;

/// Counts of one pool.
#[derive(Debug, Default)]
pub(super) struct Sums {
    sums: BTreeMap<Labels<'static>, Sum>,
    places: Places,
    measured: BTreeSet<Labels<'static>>,
    pairs: BTreeSet<Labels<'static>>,
    epochs: BTreeMap<u64, Epoch>,
    /// Time when room was last made by forgetting endpoints.
    forgot_at: Option<Instant>,
}

/// Requests that are there with some labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Present {
    pub(super) requests: u64,
    /// Amount that they pin, as [`LabelSet::amount`] has it.
    pub(super) amount: u64,
}

#[derive(Debug, Default)]
struct Sum {
    counts: BTreeMap<Measure, Count>,
    place: PlaceTaken,
    /// Time when something was last added.
    grown_at: Option<Instant>,
}

/// Place that labels took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum PlaceTaken {
    /// None: those of all others need none.
    #[default]
    None,
    Unproven,
    Proven,
}

/// Newest counts of one worker.
#[derive(Debug)]
struct Epoch {
    seen_at: Instant,
    sets: BTreeMap<Labels<'static>, LabelSet<'static>>,
}

impl Sums {
    /// Adds what is new in a reply. False if there is no room for one of its workers.
    pub(super) fn take(&mut self, counts: &Counts, now: Instant) -> bool {
        let mut has_room = true;
        for worker in &counts.workers {
            has_room &= self.see(worker.epoch, now);
        }
        for (worker, bytes) in &counts.sets {
            let worker = usize::try_from(*worker).ok().and_then(|at| counts.workers.get(at));
            let (Some(worker), Some(set)) = (worker, LabelSet::decode(bytes)) else { continue };
            self.add(worker.epoch, set, now);
        }
        has_room
    }

    /// Records that a gateway named this epoch. False if it is new and there is no room.
    fn see(&mut self, epoch: u64, now: Instant) -> bool {
        if let Some(known) = self.epochs.get_mut(&epoch) {
            known.seen_at = now;
            return true;
        }
        let kept = |epochs: &BTreeMap<u64, Epoch>| epochs.values().map(|it| it.sets.len()).sum();
        let is_full = |epochs: &BTreeMap<u64, Epoch>| {
            let kept: usize = kept(epochs);
            epochs.len() >= EPOCHS_MAX || kept >= KEPT_MAX
        };
        if is_full(&self.epochs) {
            let gone = |it: &Epoch| now.saturating_duration_since(it.seen_at) > SILENCE_MAX;
            self.epochs.retain(|_, it| !gone(it));
        }
        let has_room = !is_full(&self.epochs);
        if has_room {
            self.epochs.insert(epoch, Epoch { seen_at: now, sets: BTreeMap::new() });
        }
        has_room
    }

    /// Adds what is new in a label set. An older one, which a late reply brings, has nothing new, and takes nothing
    /// from what was counted: the next one would be counted from there again.
    fn add(&mut self, epoch: u64, set: LabelSet<'_>, now: Instant) {
        let set = set.into_owned();
        let Some(kept) = self.epochs.get_mut(&epoch) else { return };
        let mut before = kept.sets.remove(&set.labels).map(|it| it.counts).unwrap_or_default();
        let mut news = Vec::new();
        for (measure, count) in &set.counts {
            let at = before.iter().position(|(it, _)| it == measure);
            let at = at.unwrap_or_else(|| {
                before.push((*measure, Count::default()));
                before.len() - 1
            });
            let Some((_, earlier)) = before.get_mut(at) else { continue };
            let new = count.since(earlier);
            if !new.is_empty() {
                earlier.merge(&new);
                news.push((*measure, new));
            }
        }
        kept.sets.insert(set.labels.clone(), LabelSet { counts: before, ..set.clone() });
        for (measure, new) in &news {
            let sum = self.sum_of(&set, *measure, now);
            sum.grown_at = Some(now);
            sum.counts.entry(*measure).or_default().merge(new);
        }
    }

    /// Finds the sum that a label set's measure is counted in.
    fn sum_of(&mut self, set: &LabelSet<'static>, measure: Measure, now: Instant) -> &mut Sum {
        let own = self.place(&set.labels, set.is_proven, now);
        let is_histogram = matches!(measure.family().kind, FamilyKind::Histogram(_));
        let labels = if is_histogram { self.measured_by(own, set.is_proven) } else { own };
        self.sums.entry(labels).or_default()
    }

    /// Returns the labels themselves while there is a place for them, or those of all others.
    fn place(
        &mut self,
        labels: &Labels<'static>,
        is_proven: bool,
        now: Instant,
    ) -> Labels<'static> {
        if let Some(sum) = self.sums.get_mut(labels) {
            let is_unproven = sum.place == PlaceTaken::Unproven;
            let proves = is_proven && is_unproven && matches!(labels, Labels::Request { .. });
            if proves && self.places.prove() {
                sum.place = PlaceTaken::Proven;
            }
            return labels.clone();
        }
        let other = labels.other();
        let place = match is_proven {
            _ if *labels == other => PlaceTaken::None,
            true => PlaceTaken::Proven,
            false => PlaceTaken::Unproven,
        };
        if place != PlaceTaken::None && !self.places.take(labels, is_proven) {
            let has_room = names_endpoint(labels) && self.forget_endpoints(now);
            if !has_room || !self.places.take(labels, is_proven) {
                return other;
            }
        }
        self.sums.insert(labels.clone(), Sum { place, ..Sum::default() });
        labels.clone()
    }

    /// Forgets endpoints without anything new, and gives their places back. False if none was, or it was tried just
    /// now.
    fn forget_endpoints(&mut self, now: Instant) -> bool {
        let passed = |at: Option<Instant>| at.map(|at| now.saturating_duration_since(at));
        if passed(self.forgot_at).is_some_and(|passed| passed < FORGET_EVERY) {
            return false;
        }
        self.forgot_at = Some(now);
        let before = self.sums.len();
        let is_gone = |sum: &Sum| passed(sum.grown_at).is_none_or(|it| it >= ENDPOINT_SILENCE_MAX);
        self.sums.retain(|labels, sum| !(names_endpoint(labels) && is_gone(sum)));
        self.places = Places::default();
        for (labels, sum) in self.sums.iter().filter(|(_, sum)| sum.place != PlaceTaken::None) {
            // Each had one, so there is one.
            let _ = self.places.take(labels, sum.place == PlaceTaken::Proven);
        }
        self.sums.len() < before
    }

    /// Returns the labels of a histogram: the label set's own, those of its models, or those of all
    /// others.
    fn measured_by(&mut self, labels: Labels<'static>, is_proven: bool) -> Labels<'static> {
        let Labels::Request { asked, sent, priority, .. } = &labels else { return labels };
        if takes(&mut self.measured, MEASURED_MAX, &labels, is_proven) {
            return labels;
        }
        let (asked, sent, tenant) = (asked.clone(), sent.clone(), Cow::Borrowed(OTHER));
        let pair = Labels::Request { asked, sent, tenant, priority: *priority };
        if takes(&mut self.pairs, PAIRS_MAX, &pair, is_proven) { pair } else { labels.other() }
    }

    /// Writes all counters and histograms.
    pub(super) fn write(&self, page: &mut Page, pool: &str) {
        let mut endpoints = 0;
        let mut others = BTreeMap::<Measure, Count>::new();
        for (labels, Sum { counts, .. }) in &self.sums {
            if matches!(labels, Labels::Endpoint(_)) {
                endpoints += 1;
            }
            for (measure, count) in counts {
                if matches!(labels, Labels::Endpoint(_)) && endpoints > ENDPOINTS_SHOWN_MAX {
                    others.entry(*measure).or_default().merge(count);
                } else {
                    page.count(&Sample { pool, labels, measure: *measure }, count);
                }
            }
        }
        for (measure, count) in &others {
            page.count(&Sample { pool, labels: &Labels::Endpoint(None), measure: *measure }, count);
        }
    }

    /// Returns the totals that the status page draws.
    pub(super) fn totals(&self) -> PoolTotals {
        let mut totals = PoolTotals::default();
        for (labels, Sum { counts, .. }) in &self.sums {
            for (measure, count) in counts {
                totals.add(labels, *measure, count);
            }
        }
        totals
    }

    /// Returns the requests that run, by the workers that are alive.
    pub(super) fn running(&self, alive: &[WorkerState]) -> BTreeMap<Labels<'static>, Present> {
        let is_known = |labels: &Labels<'static>| self.sums.contains_key(labels);
        self.present(alive, |labels| matches!(labels, Labels::Request { .. }), is_known)
    }

    /// Returns the requests that flow control holds, by the workers that are alive.
    pub(super) fn waiting(&self, alive: &[WorkerState]) -> BTreeMap<Labels<'static>, Present> {
        self.present(alive, |labels| matches!(labels, Labels::Waiting { .. }), |_| true)
    }

    /// Returns the requests that are on their way to endpoints, by the workers that are alive.
    pub(super) fn in_flight(&self, alive: &[WorkerState]) -> BTreeMap<Labels<'static>, Present> {
        self.present(alive, |labels| matches!(labels, Labels::Sent { .. }), |_| true)
    }

    /// Adds up the requests that are there, of label sets of one kind. Those that are not told apart, and those for
    /// which there is no room, are others.
    fn present(
        &self,
        alive: &[WorkerState],
        is_of: impl Fn(&Labels<'_>) -> bool,
        is_told: impl Fn(&Labels<'static>) -> bool,
    ) -> BTreeMap<Labels<'static>, Present> {
        let mut present = BTreeMap::<Labels<'static>, Present>::new();
        let epochs = alive.iter().filter_map(|it| self.epochs.get(&it.epoch));
        for set in epochs.flat_map(|it| it.sets.values()).filter(|set| is_of(&set.labels)) {
            let has_room = present.len() < PRESENT_MAX || present.contains_key(&set.labels);
            let own = is_told(&set.labels) && has_room;
            let labels = if own { set.labels.clone() } else { set.labels.other() };
            let sum = present.entry(labels).or_default();
            sum.requests += u64::from(set.running);
            sum.amount += set.amount;
        }
        present
    }
}

/// True for labels that name an endpoint.
const fn names_endpoint(labels: &Labels<'_>) -> bool {
    matches!(
        labels,
        Labels::Endpoint(Some(_))
            | Labels::Attempt { endpoint: Some(_), .. }
            | Labels::Sent { endpoint: Some(_), .. }
    )
}

/// True if the labels are among those that have a histogram, or may be from now on.
fn takes(
    taken: &mut BTreeSet<Labels<'static>>,
    max: usize,
    labels: &Labels<'static>,
    is_proven: bool,
) -> bool {
    if taken.contains(labels) {
        return true;
    }
    let has_room = is_proven && taken.len() < max;
    if has_room {
        taken.insert(labels.clone());
    }
    has_room
}
