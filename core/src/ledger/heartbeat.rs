//! The part of the ledger that one worker has counted, so that others can recount the ledger, and take
//! back what a dead worker had there.

use super::{Accounts, BandCounts, Sheddable};
use crate::model::{Amounts, Instant, WorkerId};

/// A worker's part of the ledger, and a sign of life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heartbeat {
    /// Number of ticks so far. Growth is the sign of life; no clock of another worker is compared.
    pub beats: u64,
    /// Number of the worker's changes to its counts in the ledger, as of these counts.
    pub changes: u64,
    /// Number of requests that the worker holds.
    pub waiting: u32,
    /// The requests that the worker sent.
    pub accounts: Accounts,
    /// The worker's exchange with the arbiter.
    pub exchange: Exchange,
    /// The worker's requests by their priorities.
    pub bands: BandCounts,
    /// The limits of the pool, as the worker measured them last.
    pub limits: MeasuredLimits,
    /// The worker's requests that may be evicted; `None` while there are none.
    pub sheddable: Option<Sheddable>,
}

/// The most that a pool takes of all gateways, by its detector, at the time of a measurement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeasuredLimits {
    /// The amount by each measure that is limited.
    pub amounts: Amounts,
    /// Time of the measurement; zero before the first.
    pub at: Instant,
}

/// The counts of a worker's messages from and to the arbiter of one term, by which the arbiter finds
/// out that a message was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// The term of the arbiter.
    pub epoch: u64,
    /// Number of tickets that the worker has handed in.
    pub submitted: u64,
    /// Number of grants that the worker has used or given back.
    pub granted: u64,
    /// Number of rejections that the worker has heard.
    pub rejected: u64,
}

/// A member of the ledger with the heartbeat that it has shown; `None` where it has shown none yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The member's id.
    pub worker: WorkerId,
    /// The heartbeat, as it was read together with the ledger.
    pub heartbeat: Option<Heartbeat>,
}
