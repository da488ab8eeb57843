//! A place in an order.

use super::TicketId;

/// Compared from the first field on; the lowest goes first. Ends in the ticket's id, so that two
/// requests never share a rank and equal scripts give equal orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// What the policy orders by.
    pub(super) first: u64,
    /// What decides between equals.
    pub(super) second: u64,
    /// What decides between those.
    pub(super) id: TicketId,
}
