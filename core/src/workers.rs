//! Many workers, one queue: how the workers of one Envoy hold requests and release them in order.
//!
//! Each worker is a [`WorkerPeer`]. While nobody waits and there is room, a member sends a request on at
//! once: it decides on the ledger and commits to it in one step. Otherwise it holds the request and
//! hands a ticket to the arbiter, which is the member that holds the lease; it decides over the
//! tickets of all members and answers each with a grant or a rejection. A member that finds the
//! lease lapsed takes it, under a higher epoch, and all members hand their tickets in again; what
//! the earlier arbiter granted and nobody took yet is void. So an arbiter may die at any moment: its
//! death delays the requests that wait, by a lease's term, and loses none.

mod admission_result;
mod arbiter;
mod gate;
mod in_flight;
mod message;
mod peer;

pub use crate::model::QueueId;
pub use admission_result::{Admission, AdmissionResult, Answered, Step, Target};
pub use message::{Envelope, Message};
pub use peer::WorkerPeer;

use crate::{
    ledger::{Ledger, PhaseKind},
    saturation::Budget,
};

/// The ledger where all workers can change it.
pub trait SharedLedger {
    /// Changes the ledger in one step: `change` sees the newest one, and is called again on a newer
    /// one if another worker was faster. It must come to the same whenever it sees the same.
    fn update(&self, change: &mut dyn FnMut(&mut Ledger));
}

/// What a member asks about the pool while it decides.
pub trait CapacitySource {
    /// How much more the pool takes, with all that the ledger says is in flight.
    fn capacity(&self, ledger: &Ledger) -> Capacity;
}

/// How much more a pool takes.
#[derive(Clone, Debug, PartialEq)]
pub enum Capacity {
    /// No snapshot has come: nobody knows whether there is a pool.
    Unknown,
    /// The pool has no endpoints.
    Empty,
    /// It has endpoints, which have this much room.
    Serving(Budget),
}

impl Capacity {
    /// What is left of it once the granted requests are on their way.
    fn beyond_grants(self, ledger: &Ledger) -> Self {
        let Self::Serving(mut room) = self else { return self };
        (0..ledger.granted).for_each(|_| room.take(0));
        Self::Serving(room)
    }

    /// How long a request may wait for it.
    fn kind(&self) -> PhaseKind {
        match self {
            Self::Unknown | Self::Empty => PhaseKind::Empty,
            Self::Serving(_) => PhaseKind::Serving,
        }
    }
}
