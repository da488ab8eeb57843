//! The answers to a request that asks for a place.

use crate::{
    flow::Rejection,
    model::{PickError, SchedulingResult},
};

/// The answer to a request that arrived or was granted a place.
#[derive(Clone, Debug, PartialEq)]
pub enum AdmissionResult {
    /// The request is counted and goes to the endpoints of this result.
    Sent(SchedulingResult),
    /// The request is held; its ticket is on the way to the arbiter.
    Held,
    /// The request goes on without an endpoint of ours, as configured for a pool that no snapshot has
    /// described yet.
    FailedOpen,
    /// The pool has no endpoint that may be chosen.
    Refused(PickError),
    /// Flow control turns the request away.
    Rejected(Rejection),
    /// Flow control is off, the pool is saturated, and the request's priority is below zero (EPP:
    /// legacy admission).
    Shed,
}
