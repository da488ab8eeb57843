//! The condition of a pool.

/// Condition of a pool that a request may be sent to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PoolCondition {
    /// The pool has no endpoints, or no snapshot of it has come.
    Empty,
    /// Every endpoint is down, or was ejected for its failures and is not to be tried yet.
    Failing,
    /// The pool serves, at this saturation: 0 is idle, at 1 it is full.
    Serving(f64),
}
