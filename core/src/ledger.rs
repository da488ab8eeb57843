//! The state that all workers of one Envoy agree on, in one value per pool.
//!
//! A worker reads the ledger, decides, and writes it back unless another worker wrote it since; then
//! it decides again on the newer state. So two workers cannot take the same last place, and the
//! ledger is true at the moment of each decision. Every change is one method here or
//! of the accounts, and leaves them as they were where it does not apply.

mod account;
mod heartbeat;
mod lease;
mod phase;
mod target;

pub use crate::model::WorkerId;
pub use account::{Account, Accounts, EndpointKey, Work};
pub use heartbeat::Heartbeat;
pub use lease::Lease;
pub use phase::{PhaseKind, PoolPhase};
pub use target::Target;

use crate::model::{Instant, QueueId};

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
        let before = self.lease.epoch;
        self.lease.take(worker, queue, now);
        if self.lease.epoch != before {
            self.granted = 0;
            self.is_woken = false;
        }
    }

    /// Takes the next position of the event ring, for an entry that the caller writes.
    pub fn announce(&mut self) -> u64 {
        let position = self.events;
        self.events = position.saturating_add(1);
        position
    }

    /// Takes back all that a dead worker had counted.
    pub fn take_back(&mut self, now: Instant, dead: &Heartbeat) {
        self.waiting = self.waiting.saturating_sub(dead.waiting);
        self.accounts.take_back(now, &dead.accounts);
    }
}
