//! A place in an order.

use super::TicketId;

/// Compared from the first field on; the lowest goes first. Ends in the ticket's id, so that two
/// requests never share a rank and equal scripts give equal orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// The number that the policy orders by.
    pub(super) first: u64,
    /// The number that decides between equals.
    pub(super) second: u64,
    /// The id that decides where both are equal.
    pub(super) id: TicketId,
}
