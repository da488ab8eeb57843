//! A worker's row on the wire: what it has counted in the ledger, for whoever finds it dead.

use picker_core::{Instant, ledger::Heartbeat};

use crate::fixed::{self, join, split};

/// Which value this is, and in which version.
const MAGIC: u32 = u32::from_le_bytes(*b"LPR\x02");

/// The bytes of a row: 32, and 24 for each account.
#[must_use]
pub fn encode(row: &Heartbeat) -> Vec<u8> {
    let Heartbeat { alive_at, waiting, accounts, epoch, grants_taken } = row;
    fixed::encode([join(MAGIC, *waiting), alive_at.as_nanos(), *epoch, *grants_taken], accounts)
}

/// The row that the bytes say. `None` where they are none of this version: of such a worker nothing
/// can be taken back.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Heartbeat> {
    let ([first, alive_at, epoch, grants_taken], accounts) = fixed::decode(bytes)?;
    let (magic, waiting) = split(first);
    let alive_at = Instant::from_nanos(alive_at);
    (magic == MAGIC).then_some(Heartbeat { alive_at, waiting, accounts, epoch, grants_taken })
}
