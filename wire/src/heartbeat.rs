//! The heartbeat of a worker in shared data: a sign of life, and what it has counted in the ledger,
//! for the worker that finds it dead.

use picker_core::{Instant, ledger::Heartbeat};

use crate::fixed::{self, join, split};

/// Mark of the value and its version.
const MAGIC: u32 = u32::from_le_bytes(*b"LPR\x02");

/// Returns the bytes of a heartbeat: 32, and 24 for each account.
#[must_use]
pub fn encode(heartbeat: &Heartbeat) -> Vec<u8> {
    let Heartbeat { alive_at, waiting, accounts, epoch, grants_taken } = heartbeat;
    fixed::encode([join(MAGIC, *waiting), alive_at.as_nanos(), *epoch, *grants_taken], accounts)
}

/// Reads a heartbeat. `None` for bytes of another version: of such a worker nothing can be taken
/// back.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Heartbeat> {
    let ([first, alive_at, epoch, grants_taken], accounts) = fixed::decode(bytes)?;
    let (magic, waiting) = split(first);
    let alive_at = Instant::from_nanos(alive_at);
    (magic == MAGIC).then_some(Heartbeat { alive_at, waiting, accounts, epoch, grants_taken })
}
