//! The state that all workers of one Envoy agree on, in one value per pool.
//!
//! A worker reads the ledger, decides, and writes it back unless another worker wrote it since; then
//! it decides again on the newer state. So two workers cannot take the same last place, and the
//! ledger is true at the moment of each decision. Every change is one method here or
//! of the accounts, and leaves them as they were where it does not apply.

mod account;
mod band_counts;
mod heartbeat;
mod lease;
mod members;
mod phase;
mod sends;
mod sheddable;
mod target;

pub use crate::model::WorkerId;
pub use account::{Account, Accounts, EndpointKey, Work};
pub use band_counts::{BAND_COUNTS_MAX, BandCount, BandCounts};
pub use heartbeat::{Exchange, Heartbeat, MeasuredLimits, Row};
pub use lease::Lease;
pub use members::{Member, Members};
pub use phase::{PhaseKind, PoolPhase};
pub use sends::Sends;
pub use sheddable::Sheddable;
pub use target::Target;

use crate::model::{Amounts, Instant, QueueId};

/// The state of one pool that its workers share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Number of snapshots stored so far, by which a worker sees that there is a newer one.
    pub snapshots: u64,
    /// Number of ring entries announced so far; the newest has the position `events - 1`.
    pub events: u64,
    /// Number of requests that are held. While there are any, a request that arrives is held too, so
    /// that none passes another.
    pub waiting: u32,
    /// Number of places that the arbiter gave away to requests that are not on their way yet.
    pub granted: u32,
    /// The lease of the arbiter, the worker that decides which held request goes next.
    pub lease: Lease,
    /// True while a wake-up is under way to the lease holder: a second one would say nothing new.
    pub is_woken: bool,
    /// The phase of the pool: since when it has had endpoints, or none.
    pub phase: PoolPhase,
    /// The workers with counts in here.
    pub members: Members,
    /// Requests and tokens in flight, per endpoint.
    pub accounts: Accounts,
}

/// The part of a ledger that arbitration changes, for telling whether it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LedgerHead {
    waiting: u32,
    granted: u32,
    lease: Lease,
    is_woken: bool,
    phase: PoolPhase,
}

impl Ledger {
    /// Copies all but the accounts and the counts of snapshots and events.
    pub(crate) fn head(&self) -> LedgerHead {
        let Self { waiting, granted, lease, is_woken, phase, .. } = *self;
        LedgerHead { waiting, granted, lease, is_woken, phase }
    }

    /// True while no request waits or is in flight.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.waiting == 0 && self.accounts.requests() == 0
    }

    /// Returns what is in flight, by each measure.
    #[must_use]
    pub fn in_flight(&self) -> Amounts {
        Amounts {
            requests: Some(self.accounts.requests()),
            tokens: Some(self.accounts.iter().map(|account| u64::from(account.tokens)).sum()),
        }
    }

    /// Returns what is in flight or was granted a place, by each measure: what a gateway tells others
    /// that it uses.
    #[must_use]
    pub fn used(&self) -> Amounts {
        let Amounts { requests, tokens } = self.in_flight();
        Amounts { requests: requests.map(|it| it + u64::from(self.granted)), tokens }
    }

    /// Counts a request that starts to wait.
    pub fn hold(&mut self) {
        self.waiting = self.waiting.saturating_add(1);
    }

    /// Counts a request that waits no more: it was rejected, it goes, or its client left.
    pub fn release(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
    }

    /// Reserves a place for a held request, which the worker that holds it then takes.
    pub fn grant(&mut self) {
        self.granted = self.granted.saturating_add(1);
    }

    /// Takes places off the granted ones: their requests took them, or will not come.
    pub fn ungrant(&mut self, places: u32) {
        self.granted = self.granted.saturating_sub(places);
    }

    /// Names the queue of the arbiter to wake because something changed for waiting requests; `None`
    /// while no request waits, or while an earlier wake-up is under way.
    pub fn wake(&mut self) -> Option<QueueId> {
        if self.waiting == 0 || std::mem::replace(&mut self.is_woken, true) {
            return None;
        }
        Some(self.lease.queue)
    }

    /// Takes the lease for a worker if no worker holds it. The grants of an earlier holder are void.
    pub fn take_lease(&mut self, worker: WorkerId, queue: QueueId, now: Instant) {
        if !self.lease.is_held(now) {
            self.begin_term(worker, queue, now);
        }
    }

    /// Begins a term of this worker, whoever held the lease before. All grants so far are void, and all
    /// tickets are handed in again.
    pub fn begin_term(&mut self, worker: WorkerId, queue: QueueId, now: Instant) {
        self.end_term();
        self.lease.take(worker, queue, now);
    }

    /// Ends the term at once, so that the next worker that looks takes the lease.
    pub(crate) fn end_term(&mut self) {
        let epoch = self.lease.epoch.saturating_add(1);
        self.lease = Lease { epoch, until: Instant::default(), ..self.lease };
        self.granted = 0;
        self.is_woken = false;
    }

    /// Takes the next position of the event ring, for an entry that the caller writes.
    pub fn announce(&mut self) -> u64 {
        let position = self.events;
        self.events = position.saturating_add(1);
        position
    }

    /// Adds a worker with all that it has counted; false if the list of members has no place, or has the
    /// worker already.
    pub fn join(&mut self, worker: WorkerId, heartbeat: &Heartbeat) -> bool {
        let member = Member { worker, changes: heartbeat.changes };
        let joins = self.members.add(member);
        if joins {
            self.waiting = self.waiting.saturating_add(heartbeat.waiting);
            self.accounts.add_all(&heartbeat.accounts);
        }
        joins
    }

    /// Strikes workers off, with all that they had counted; these are the rows of the others. The term ends
    /// with it: grants may have been on their way to a worker that is off, and the arbiter has its
    /// tickets. Returns false, and changes nothing, while the others' rows are not in step.
    pub fn strike_off(&mut self, now: Instant, dead: &[WorkerId], others: &[Row]) -> bool {
        let before = self.members.clone();
        dead.iter().for_each(|worker| self.members.remove(*worker));
        if !self.is_in_step(others) {
            self.members = before;
            return false;
        }
        self.recount(now, others);
        self.end_term();
        true
    }

    /// Counts anew what the members have counted, if their rows are of the same changes as this ledger:
    /// a change that is lost, or was made by a worker that died before it showed it, is mended by that.
    /// Returns true if there was such a change.
    pub fn recount(&mut self, now: Instant, rows: &[Row]) -> bool {
        let Some(rows) = self.heartbeats(rows) else { return false };
        let waiting = rows.iter().fold(0, |sum: u32, row| sum.saturating_add(row.waiting));
        let counted: Accounts = rows.iter().flat_map(|row| row.accounts.iter()).copied().collect();
        let is_right = waiting == self.waiting && self.accounts.counts_like(&counted);
        if !is_right {
            self.waiting = waiting;
            self.accounts.become_like(now, &counted);
        }
        !is_right
    }

    /// Returns the heartbeats of all members; `None` while one of them is not of the same changes as this
    /// ledger, or where there are more workers than members.
    fn heartbeats<'a>(&self, rows: &'a [Row]) -> Option<Vec<&'a Heartbeat>> {
        let shown = |member: &Member| {
            let row = rows.iter().find(|row| row.worker == member.worker)?;
            row.heartbeat.as_ref().filter(|beat| beat.changes == member.changes)
        };
        if self.members.is_full() { None } else { self.members.iter().map(shown).collect() }
    }

    /// True if these rows are of the same changes as this ledger.
    pub(crate) fn is_in_step(&self, rows: &[Row]) -> bool {
        self.heartbeats(rows).is_some()
    }
}
