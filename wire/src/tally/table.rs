//! The counts of one worker in one pool.

use std::collections::BTreeSet;

use super::{Count, LabelSet, Labels, Measure, chunk};

/// Label sets of requests that have succeeded, for each pool as a whole: a thousand with those that
/// have not, as in the EPP.
const PROVEN_MAX: usize = 900;

/// Label sets of requests of which none has succeeded yet, apart from the others, so that names
/// which clients make up take no place from real ones.
const UNPROVEN_MAX: usize = 100;

/// Endpoints by model. A pool has at most 4,096 endpoints, mostly with one model each.
const ATTEMPTS_MAX: usize = 8_192;

/// Endpoints: as many as a pool has.
const ENDPOINTS_MAX: usize = 4_096;

/// Endpoints by tenant that requests are on their way to: as many as endpoints by model.
const SENT_MAX: usize = ATTEMPTS_MAX;

/// Rewrites by rule and model.
const REWRITES_MAX: usize = 256;

/// Plugins by the place where they run: twice the plugin types that there are.
const PLUGINS_MAX: usize = 128;

/// Models by themselves: as many as rewrites have.
const MODELS_MAX: usize = REWRITES_MAX;

/// Priorities: a configuration has a handful.
const BANDS_MAX: usize = 256;

/// Places that are taken, by kind of label set. What has none is counted as "other".
#[derive(Clone, Debug, Default)]
pub struct Places {
    proven: usize,
    unproven: usize,
    attempts: usize,
    rewrites: usize,
    bands: usize,
    endpoints: usize,
    waiting: usize,
    waiting_unproven: usize,
    sent: usize,
    plugins: usize,
    models: usize,
}

/// A label set of one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SetId(u32);

/// The counts of one worker in one pool, with what of them is still to be written.
#[derive(Debug, Default)]
pub struct WorkerTally {
    sets: Vec<TalliedSet>,
    /// Numbers of the sets, in the order of their labels.
    sorted: Vec<u32>,
    places: Places,
    /// Chunks with a set that has changed since it was written.
    changed: BTreeSet<u32>,
    /// Number of the newest flush; that of each chunk's newest stands in `versions`.
    flush: u32,
    versions: Vec<u32>,
    /// Chunk that the next flush begins with.
    next: u32,
}

#[derive(Debug)]
struct TalliedSet {
    set: LabelSet<'static>,
    is_changed: bool,
    /// Number of the flush that last wrote a change.
    version: u32,
}

impl Places {
    /// Takes a place for these labels; false if there is none left for their kind.
    #[must_use]
    pub fn take(&mut self, labels: &Labels<'_>, is_proven: bool) -> bool {
        let (taken, max) = match labels {
            Labels::Pool => return true,
            Labels::Band(_) => (&mut self.bands, BANDS_MAX),
            Labels::Request { .. } if is_proven => (&mut self.proven, PROVEN_MAX),
            Labels::Request { .. } => (&mut self.unproven, UNPROVEN_MAX),
            Labels::Attempt { .. } => (&mut self.attempts, ATTEMPTS_MAX),
            Labels::Rewrite { .. } => (&mut self.rewrites, REWRITES_MAX),
            Labels::Endpoint(_) => (&mut self.endpoints, ENDPOINTS_MAX),
            Labels::Waiting { .. } if is_proven => (&mut self.waiting, PROVEN_MAX),
            Labels::Waiting { .. } => (&mut self.waiting_unproven, UNPROVEN_MAX),
            Labels::Sent { .. } => (&mut self.sent, SENT_MAX),
            Labels::Plugin { .. } => (&mut self.plugins, PLUGINS_MAX),
            Labels::Model(_) => (&mut self.models, MODELS_MAX),
        };
        let has_room = *taken < max;
        *taken += usize::from(has_room);
        has_room
    }

    /// Gives a request's unproven place back for a proven one; false if there is none left.
    #[must_use]
    pub fn prove(&mut self) -> bool {
        let has_room = self.proven < PROVEN_MAX;
        if has_room {
            self.proven += 1;
            self.unproven = self.unproven.saturating_sub(1);
        }
        has_room
    }
}

impl WorkerTally {
    /// Returns the set of these labels, or makes it while there is room, or returns the set of
    /// all others of their kind.
    pub fn place(&mut self, labels: &Labels<'_>, is_proven: bool) -> SetId {
        let at = match self.find(labels) {
            Ok(id) => return self.proved(id, is_proven),
            Err(at) => at,
        };
        if self.places.take(labels, is_proven) {
            return self.insert(at, labels.clone().into_owned(), is_proven);
        }
        let other = labels.other();
        match self.find(&other) {
            Ok(id) => id,
            // Beyond the limits: there is one for each priority, and those are the operator's.
            Err(at) => self.insert(at, other, true),
        }
    }

    /// Takes in a value of a measure.
    pub fn add(&mut self, id: SetId, measure: Measure, value: u64) {
        self.change(id, |set| set.add(measure, value));
    }

    /// Takes in values of a measure that were gathered apart.
    pub fn merge(&mut self, id: SetId, measure: Measure, count: &Count) {
        if !count.is_empty() {
            self.change(id, |set| set.merge(measure, count));
        }
    }

    /// Counts a request that has begun.
    pub fn begin(&mut self, id: SetId) {
        self.change(id, |set| set.running = set.running.saturating_add(1));
    }

    /// Counts a request that was begun in this set as gone.
    pub fn leave(&mut self, id: SetId) {
        self.change(id, |set| set.running = set.running.saturating_sub(1));
    }

    /// Counts this amount as pinned by a request that has begun.
    pub fn pin(&mut self, id: SetId, amount: u64) {
        self.change(id, |set| set.amount = set.amount.saturating_add(amount));
    }

    /// Counts this amount, which was pinned, as free again.
    pub fn unpin(&mut self, id: SetId, amount: u64) {
        self.change(id, |set| set.amount = set.amount.saturating_sub(amount));
    }

    /// Counts the end of a request that was begun in this set. Returns the set that it is counted
    /// in, which is another one where the request proved its labels and there is room for them.
    pub fn end(&mut self, id: SetId, labels: &Labels<'_>, is_proven: bool) -> SetId {
        self.leave(id);
        let is_own =
            self.set(id).is_some_and(|it| it.set.is_proven && it.set.labels.order(labels).is_eq());
        if is_own { id } else { self.place(labels, is_proven) }
    }

    /// True if a request with the labels of this set, its own ones, succeeded.
    #[must_use]
    pub fn is_proven(&self, id: SetId) -> bool {
        self.set(id).is_some_and(|it| it.set.is_proven && it.set.labels != it.set.labels.other())
    }

    /// True if anything changed since it was written.
    #[must_use]
    pub fn has_news(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Returns the chunks that have changed since the last call, encoded, with their numbers: at
    /// most `max` of them, and the others with the next calls.
    pub fn flush(&mut self, max: usize) -> Vec<(u32, Vec<u8>)> {
        if self.changed.is_empty() {
            return Vec::new();
        }
        self.flush = self.flush.saturating_add(1);
        let behind = self.changed.range(self.next..);
        let chosen = behind.chain(self.changed.range(..self.next)).take(max);
        let chosen: Vec<u32> = chosen.copied().collect();
        self.next = chosen.last().map_or(0, |last| last + 1);
        chosen.into_iter().map(|number| (number, self.write(number))).collect()
    }

    /// Returns the version of each chunk that was written.
    #[must_use]
    pub fn versions(&self) -> &[u32] {
        &self.versions
    }

    fn write(&mut self, number: u32) -> Vec<u8> {
        self.changed.remove(&number);
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        if self.versions.len() <= index {
            self.versions.resize(index + 1, 0);
        }
        if let Some(version) = self.versions.get_mut(index) {
            *version = self.flush;
        }
        let first = index.saturating_mul(chunk::SETS_MAX);
        let mut written = Vec::with_capacity(chunk::SETS_MAX);
        for tallied in self.sets.iter_mut().skip(first).take(chunk::SETS_MAX) {
            if std::mem::take(&mut tallied.is_changed) {
                tallied.version = self.flush;
            }
            written.push((tallied.version, tallied.set.encode()));
        }
        chunk::encode(&written)
    }

    fn find(&self, labels: &Labels<'_>) -> Result<SetId, usize> {
        let compare = |id: &u32| {
            let set = self.set(SetId(*id));
            set.map_or(std::cmp::Ordering::Less, |it| it.set.labels.order(labels))
        };
        let at = self.sorted.binary_search_by(compare)?;
        self.sorted.get(at).map(|id| SetId(*id)).ok_or(at)
    }

    fn set(&self, id: SetId) -> Option<&TalliedSet> {
        self.sets.get(usize::try_from(id.0).ok()?)
    }

    fn insert(&mut self, at: usize, labels: Labels<'static>, is_proven: bool) -> SetId {
        let id = SetId(u32::try_from(self.sets.len()).unwrap_or(u32::MAX));
        let set = LabelSet { labels, is_proven, running: 0, counts: Vec::new(), amount: 0 };
        self.sets.push(TalliedSet { set, is_changed: false, version: 0 });
        self.sorted.insert(at, id.0);
        id
    }

    /// Records that a request with these labels succeeded, if one did.
    fn proved(&mut self, id: SetId, is_proven: bool) -> SetId {
        let is_news = self.set(id).is_some_and(|it| is_proven && !it.set.is_proven);
        if is_news && self.places.prove() {
            self.change(id, |set| set.is_proven = true);
        }
        id
    }

    fn change(&mut self, id: SetId, change: impl FnOnce(&mut LabelSet<'static>)) {
        let Some(tallied) = usize::try_from(id.0).ok().and_then(|it| self.sets.get_mut(it)) else {
            return;
        };
        change(&mut tallied.set);
        if !std::mem::replace(&mut tallied.is_changed, true) {
            self.changed.insert(id.0 / chunk::SETS);
        }
    }
}
