//! The ledger on the wire, from each worker to all: read and written for every request. Behind it stand the
//! newest entries of the event ring.

mod recent;

use picker_core::{
    Instant,
    flow::PhaseKind,
    ledger::{Lease, Ledger, Member, Members, PoolPhase, WorkerId},
    workers::QueueId,
};

use crate::fixed::{self, join, split};

pub use recent::{RecentEntries, takes_entry};

/// Version of the value, and so of its key.
pub(crate) const VERSION: u8 = 7;

/// Mark of the value and its version.
const MAGIC: u32 = u32::from_le_bytes([b'L', b'P', b'L', VERSION]);

/// Bits of the word of flags: a wake-up is on its way; the pool has endpoints.
const WOKEN: u32 = 1;
const SERVING: u32 = 2;

/// Words in front of the members.
const HEAD: usize = 10;

/// Returns the bytes of a ledger: 80, and 16 for each member and 40 for each account.
#[must_use]
pub fn encode(ledger: &Ledger) -> Vec<u8> {
    encode_with(ledger, RecentEntries::default(), None)
}

/// Returns the bytes of a ledger with entries of the event ring behind it, and behind those one more, of which
/// the position and the bytes are given.
#[must_use]
pub fn encode_with(
    ledger: &Ledger,
    recent: RecentEntries<'_>,
    entry: Option<(u64, &[u8])>,
) -> Vec<u8> {
    let added = entry.map_or(0, |(_, entry)| recent::size(entry.len()));
    let mut bytes = encode_alone(ledger, recent.0.len() + added);
    bytes.extend_from_slice(recent.0);
    if let Some((position, entry)) = entry {
        recent::append(&mut bytes, position, entry);
    }
    bytes
}

fn encode_alone(ledger: &Ledger, more: usize) -> Vec<u8> {
    let Ledger { snapshots, events, waiting, granted, lease, is_woken, phase, members, accounts } =
        ledger;
    let is_woken = if *is_woken { WOKEN } else { 0 };
    let serving = if phase.kind == PhaseKind::Serving { SERVING } else { 0 };
    let count = u32::try_from(members.iter().len()).unwrap_or(u32::MAX);
    let accounts_count = u32::try_from(accounts.iter().count()).unwrap_or(u32::MAX);
    let head: [u64; HEAD] = [
        join(MAGIC, *waiting),
        join(*granted, lease.queue.0),
        *snapshots,
        *events,
        lease.holder.0,
        lease.epoch,
        lease.until.as_nanos(),
        join(is_woken | serving, count),
        phase.since.as_nanos(),
        join(accounts_count, 0),
    ];
    let mut words = Vec::with_capacity(head.len() + 2 * members.iter().len());
    words.extend(head);
    words.extend(members.iter().flat_map(|Member { worker, changes }| [worker.0, *changes]));
    fixed::encode(words.into_iter(), accounts, more)
}

/// Reads a ledger. Bytes that are none read as one in which nothing is counted yet, which is what a fresh
/// Envoy holds. Another version has a key of its own ([`crate::layout`]).
#[must_use]
pub fn decode(bytes: &[u8]) -> Ledger {
    read(bytes).unwrap_or_default()
}

fn read(bytes: &[u8]) -> Option<Ledger> {
    let (head, rest) = fixed::decode::<HEAD>(bytes)?;
    let [first, second, snapshots, events, holder, epoch, until, flags, since, last] = head;
    let ((magic, waiting), (granted, queue)) = (split(first), split(second));
    let lease = Lease {
        holder: WorkerId(holder),
        queue: QueueId(queue),
        epoch,
        until: Instant::from_nanos(until),
    };
    let (flags, count) = split(flags);
    let (members, rest) = rest.split_at_checked(usize::try_from(count).ok()?.checked_mul(2)?)?;
    let accounts = rest.get(..usize::try_from(split(last).0).ok()?.checked_mul(5)?)?;
    let (members, accounts) = (read_members(members), fixed::accounts(accounts)?);
    let is_woken = flags & WOKEN != 0;
    let kind = if flags & SERVING == 0 { PhaseKind::Empty } else { PhaseKind::Serving };
    let phase = PoolPhase { kind, since: Instant::from_nanos(since) };
    let ledger =
        Ledger { snapshots, events, waiting, granted, lease, is_woken, phase, members, accounts };
    (magic == MAGIC).then_some(ledger)
}

/// Returns the entries of the event ring that stand behind a ledger; none for bytes that are no ledger.
#[must_use]
pub fn recent(bytes: &[u8]) -> RecentEntries<'_> {
    RecentEntries(behind(bytes).unwrap_or_default())
}

fn behind(bytes: &[u8]) -> Option<&[u8]> {
    let (head, _) = fixed::decode::<HEAD>(bytes)?;
    let [first, .., flags, _, last] = head;
    let sizes = [(HEAD, 8), (usize::try_from(split(flags).1).ok()?, 16)];
    let accounts = (usize::try_from(split(last).0).ok()?, 40);
    let size = sizes
        .into_iter()
        .chain([accounts])
        .try_fold(0_usize, |sum, (count, bytes)| sum.checked_add(count.checked_mul(bytes)?))?;
    bytes.get(size..).filter(|_| split(first).0 == MAGIC)
}

fn read_members(words: &[[u8; 8]]) -> Members {
    let (members, _) = words.as_chunks::<2>();
    let member = |[worker, changes]: &[[u8; 8]; 2]| Member {
        worker: WorkerId(u64::from_le_bytes(*worker)),
        changes: u64::from_le_bytes(*changes),
    };
    members.iter().map(member).collect()
}
