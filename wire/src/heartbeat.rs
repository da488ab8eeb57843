//! The heartbeat of a worker in shared data: a sign of life, and what it has counted in the ledger,
//! for the workers that recount the ledger or find it dead.

use picker_core::ledger::{Exchange, Heartbeat};

use crate::fixed::{self, join, split};

/// Version of the value, and so of its key.
pub(crate) const VERSION: u8 = 5;

/// Mark of the value and its version.
const MAGIC: u32 = u32::from_le_bytes([b'L', b'P', b'R', VERSION]);

/// Returns the bytes of a heartbeat: 56, and 40 for each account.
#[must_use]
pub fn encode(heartbeat: &Heartbeat) -> Vec<u8> {
    let Heartbeat { beats, changes, waiting, accounts, exchange } = heartbeat;
    let Exchange { epoch, submitted, granted, rejected } = *exchange;
    let head = [join(MAGIC, *waiting), *beats, *changes, epoch, submitted, granted, rejected];
    fixed::encode(head.into_iter(), accounts)
}

/// Reads a heartbeat. `None` for bytes of another version: of such a worker nothing can be taken
/// back.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Heartbeat> {
    let (head, accounts) = fixed::decode(bytes)?;
    let [first, beats, changes, epoch, submitted, granted, rejected] = head;
    let (magic, waiting) = split(first);
    let accounts = fixed::accounts(accounts)?;
    let exchange = Exchange { epoch, submitted, granted, rejected };
    (magic == MAGIC).then_some(Heartbeat { beats, changes, waiting, accounts, exchange })
}
