//! The ledger on the wire, from each worker to all: read and written for every request.

use engine::{
    Instant,
    cluster::QueueId,
    ledger::{Lease, Ledger, WorkerId},
};

use crate::fixed::{self, join, split};

/// Which value this is, and in which version. Shared data outlives a change of the module.
const MAGIC: u32 = u32::from_le_bytes(*b"LPL\x01");

/// The bytes of a ledger: 56, and 16 for each account.
#[must_use]
pub fn encode(ledger: &Ledger) -> Vec<u8> {
    let Ledger { snapshots, notes, waiting, granted, lease, accounts } = ledger;
    let head = [
        join(MAGIC, *waiting),
        join(*granted, lease.queue.0),
        *snapshots,
        *notes,
        lease.holder.0,
        lease.epoch,
        lease.until.as_nanos(),
    ];
    fixed::encode(head, accounts)
}

/// The ledger that the bytes say. One in which nothing is counted yet where they are none of this
/// version, which is what a fresh Envoy holds.
#[must_use]
pub fn decode(bytes: &[u8]) -> Ledger {
    read(bytes).unwrap_or_default()
}

fn read(bytes: &[u8]) -> Option<Ledger> {
    let (head, accounts) = fixed::decode(bytes)?;
    let [first, second, snapshots, notes, holder, epoch, until] = head;
    let ((magic, waiting), (granted, queue)) = (split(first), split(second));
    let lease = Lease {
        holder: WorkerId(holder),
        queue: QueueId(queue),
        epoch,
        until: Instant::from_nanos(until),
    };
    (magic == MAGIC).then_some(Ledger { snapshots, notes, waiting, granted, lease, accounts })
}
