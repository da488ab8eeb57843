//! What all workers of one Envoy agree on, in one value.
//!
//! A worker reads the ledger, decides, and writes it back unless another worker wrote it since; then
//! it decides again on what it reads now. So two workers cannot take the same last place, and what
//! the ledger says is true at the moment of each decision. Every change is one method here or
//! of the accounts, and leaves them as they were where it does not apply.

mod account;
mod heartbeat;
mod lease;
mod phase;

pub use crate::model::WorkerId;
pub use account::{Account, Accounts, EndpointKey, Work};
pub use heartbeat::Heartbeat;
pub use lease::Lease;
pub use phase::{PhaseKind, PoolPhase};

use crate::model::{Instant, QueueId};

/// The state of one pool that its workers share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Snapshots stored so far: tells a worker whether there is a newer one.
    pub snapshots: u64,
    /// Notes announced so far; the newest has the position `notes - 1`.
    pub notes: u64,
    /// Requests that are held. While there are any, nobody passes them: who arrives is held too.
    pub waiting: u32,
    /// Places that the arbiter gave away and whose requests are not on their way yet.
    pub granted: u32,
    /// Who decides which held request goes next.
    pub lease: Lease,
    /// Whether a nudge is on its way to that one: another would tell it nothing.
    pub nudged: bool,
    /// Since when the pool has had endpoints, or none.
    pub phase: PoolPhase,
    /// What is in flight, per endpoint.
    pub accounts: Accounts,
}

impl Ledger {
    /// Counts a request that starts to wait.
    pub fn hold(&mut self) {
        self.waiting = self.waiting.saturating_add(1);
    }

    /// Counts a held request that was rejected or whose client left.
    pub fn release(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
    }

    /// Reserves a place for a held request, which the worker that holds it then takes.
    pub fn grant(&mut self) {
        self.granted = self.granted.saturating_add(1);
    }

    /// Gives reserved places back, or takes them: nobody is on the way to them any more.
    pub fn ungrant(&mut self, places: u32) {
        self.granted = self.granted.saturating_sub(places);
    }

    /// Where to say that something changed for those who wait; `None` if nobody does, or if it was
    /// said already and is not heard yet.
    pub fn nudge(&mut self) -> Option<QueueId> {
        if self.waiting == 0 || std::mem::replace(&mut self.nudged, true) {
            return None;
        }
        Some(self.lease.queue)
    }

    /// Takes the lease for a worker if nobody holds it. What an earlier holder granted is void.
    pub fn take_lease(&mut self, worker: WorkerId, queue: QueueId, now: Instant) {
        let before = self.lease.epoch;
        self.lease.take(worker, queue, now);
        if self.lease.epoch != before {
            (self.granted, self.nudged) = (0, false);
        }
    }

    /// Takes the next place on the board, for a note that its taker writes.
    pub fn announce(&mut self) -> u64 {
        let position = self.notes;
        self.notes = position.saturating_add(1);
        position
    }

    /// Takes back all that a dead worker had counted.
    pub fn take_back(&mut self, now: Instant, row: &Heartbeat) {
        self.waiting = self.waiting.saturating_sub(row.waiting);
        self.accounts.take_back(now, &row.accounts);
    }
}
