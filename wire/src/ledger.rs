//! The ledger on the wire, from each worker to all: read and written for every request.

use picker_core::{
    Instant,
    flow::PhaseKind,
    ledger::{Lease, Ledger, Member, Members, PoolPhase, WorkerId},
    workers::QueueId,
};

use crate::fixed::{self, join, split};

/// Version of the value, and so of its key.
pub(crate) const VERSION: u8 = 7;

/// Mark of the value and its version.
const MAGIC: u32 = u32::from_le_bytes([b'L', b'P', b'L', VERSION]);

/// Bits of the word of flags: a wake-up is on its way; the pool has endpoints.
const WOKEN: u32 = 1;
const SERVING: u32 = 2;

/// Returns the bytes of a ledger: 72, and 16 for each member and 40 for each account.
#[must_use]
pub fn encode(ledger: &Ledger) -> Vec<u8> {
    let Ledger { snapshots, events, waiting, granted, lease, is_woken, phase, members, accounts } =
        ledger;
    let is_woken = if *is_woken { WOKEN } else { 0 };
    let serving = if phase.kind == PhaseKind::Serving { SERVING } else { 0 };
    let count = u32::try_from(members.iter().len()).unwrap_or(u32::MAX);
    let head = [
        join(MAGIC, *waiting),
        join(*granted, lease.queue.0),
        *snapshots,
        *events,
        lease.holder.0,
        lease.epoch,
        lease.until.as_nanos(),
        join(is_woken | serving, count),
        phase.since.as_nanos(),
    ];
    let mut words = Vec::with_capacity(head.len() + 2 * members.iter().len());
    words.extend(head);
    words.extend(members.iter().flat_map(|Member { worker, changes }| [worker.0, *changes]));
    fixed::encode(words.into_iter(), accounts)
}

/// Reads a ledger. Bytes that are none read as one in which nothing is counted yet, which is what a fresh
/// Envoy holds. Another version has a key of its own ([`crate::layout`]).
#[must_use]
pub fn decode(bytes: &[u8]) -> Ledger {
    read(bytes).unwrap_or_default()
}

fn read(bytes: &[u8]) -> Option<Ledger> {
    let (head, rest) = fixed::decode(bytes)?;
    let [first, second, snapshots, events, holder, epoch, until, flags, since] = head;
    let ((magic, waiting), (granted, queue)) = (split(first), split(second));
    let lease = Lease {
        holder: WorkerId(holder),
        queue: QueueId(queue),
        epoch,
        until: Instant::from_nanos(until),
    };
    let (flags, count) = split(flags);
    let (members, accounts) = rest.split_at_checked(2 * usize::try_from(count).ok()?)?;
    let (members, accounts) = (read_members(members), fixed::accounts(accounts)?);
    let is_woken = flags & WOKEN != 0;
    let kind = if flags & SERVING == 0 { PhaseKind::Empty } else { PhaseKind::Serving };
    let phase = PoolPhase { kind, since: Instant::from_nanos(since) };
    let ledger =
        Ledger { snapshots, events, waiting, granted, lease, is_woken, phase, members, accounts };
    (magic == MAGIC).then_some(ledger)
}

fn read_members(words: &[[u8; 8]]) -> Members {
    let (members, _) = words.as_chunks::<2>();
    let member = |[worker, changes]: &[[u8; 8]; 2]| Member {
        worker: WorkerId(u64::from_le_bytes(*worker)),
        changes: u64::from_le_bytes(*changes),
    };
    members.iter().map(member).collect()
}
