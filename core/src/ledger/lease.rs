//! The lease by which one worker at a time decides for all.

use std::time::Duration;

use crate::model::{Instant, QueueId, WorkerId};

/// The right to decide which held request goes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// The worker that has the lease, or had it last. The default id while no worker ever had it.
    pub holder: WorkerId,
    /// The queue on which the holder takes tickets.
    pub queue: QueueId,
    /// Term of the holder: grows by one with each new one. Decisions of an earlier term are void.
    pub epoch: u64,
    /// Time at which the lease lapses, unless it is renewed.
    pub until: Instant,
}

impl Lease {
    /// Five missed ticks of a holder that sees to it that half of it is left: one that is merely
    /// slow keeps it, and the requests of one that is dead are delayed no longer than a person
    /// notices.
    pub const TERM: Duration = Duration::from_millis(200);

    /// True if a worker holds the lease.
    #[must_use]
    pub fn is_held(&self, now: Instant) -> bool {
        now < self.until
    }

    /// True if this worker holds it.
    #[must_use]
    pub fn is_held_by(&self, worker: WorkerId, now: Instant) -> bool {
        self.holder == worker && self.is_held(now)
    }

    /// Takes the lease for the present term, in which no worker holds it.
    pub(super) fn take(&mut self, worker: WorkerId, queue: QueueId, now: Instant) {
        *self = Self { holder: worker, queue, epoch: self.epoch, until: now + Self::TERM };
    }

    /// Extends the lease if less than half a term is left. More often is not worth a change of the
    /// ledger, which makes every worker that is about to change it decide again.
    pub fn renew(&mut self, now: Instant) {
        if self.until < now + Self::TERM / 2 {
            self.until = now + Self::TERM;
        }
    }
}
