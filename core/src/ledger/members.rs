//! The workers with counts in the ledger.

use crate::model::WorkerId;

/// Workers that a pool can have: more than any machine has cores. The counts of one beyond it are in the
/// ledger and in no row, so with a full list nothing is recounted.
const MEMBERS_MAX: usize = 1024;

/// A worker with counts in the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// The worker's id.
    pub worker: WorkerId,
    /// Number of changes that the worker has made to its counts here. A heartbeat of the same number
    /// has the same counts; one of another number is about to be written, or its worker died before.
    pub changes: u64,
}

/// The workers of a pool, in the order of their ids. The list is part of the ledger, so that a worker
/// and its counts come and go in one change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members(Vec<Member>);

impl Members {
    /// Returns the members in the order of their ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.0.iter()
    }

    /// True if this worker is a member.
    #[must_use]
    pub fn has(&self, worker: WorkerId) -> bool {
        self.find(worker).is_ok()
    }

    /// True if no further worker finds a place.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.len() >= MEMBERS_MAX
    }

    /// Adds a worker; false if the list is full or has the worker already.
    pub fn add(&mut self, member: Member) -> bool {
        match self.find(member.worker) {
            Err(index) if !self.is_full() => {
                self.0.insert(index, member);
                true
            }
            Ok(_) | Err(_) => false,
        }
    }

    /// Takes a worker out.
    pub(crate) fn remove(&mut self, worker: WorkerId) {
        self.0.retain(|member| member.worker != worker);
    }

    /// Numbers a change of a worker's counts; `None` for one that is no member.
    pub(crate) fn count_change(&mut self, worker: WorkerId) -> Option<u64> {
        let index = self.find(worker).ok()?;
        let member = self.0.get_mut(index)?;
        member.changes += 1;
        Some(member.changes)
    }

    fn find(&self, worker: WorkerId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&worker, |member| member.worker)
    }
}

impl FromIterator<Member> for Members {
    /// Takes members in any order; of several with one id the first counts.
    fn from_iter<T: IntoIterator<Item = Member>>(members: T) -> Self {
        let mut all = Self::default();
        for member in members {
            all.add(member);
        }
        all
    }
}
