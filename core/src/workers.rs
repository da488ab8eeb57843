//! Many workers, one queue: how the workers of one Envoy hold requests and release them in order.
//!
//! A worker is a [`WorkerPeer`]. While no request waits and there is room, it sends a request on at
//! once: it decides on the ledger and commits to it in one step. Otherwise it holds the request and
//! hands a ticket to the arbiter, which is the worker that holds the lease; the arbiter decides
//! over the tickets of all workers and answers each with a grant or a rejection. A worker that finds
//! the lease lapsed takes it, under a higher epoch, and all workers hand their tickets in again;
//! grants of the earlier arbiter that were not taken yet are void. So an arbiter may die at any
//! moment: its death delays the requests that wait, by a lease's term, and loses none.
//!
//! Each worker shows its own counts in a row, and once a second looks at the rows of all: it strikes
//! off a worker that is dead, and recounts the ledger from the rows that are in step with it. A worker
//! that finds itself off the list joins again with its true counts. The arbiter compares what it has
//! heard with what was said to it; where a message was lost, it ends its term, and all is handed in anew.

pub(crate) mod admission_result;
mod arbiter;
pub(crate) mod gate;
pub(crate) mod in_flight;
mod message;
pub(crate) mod peer;
pub(crate) mod watch;

pub use crate::model::QueueId;
pub use admission_result::AdmissionResult;
pub use arbiter::Reclaim;
pub(crate) use arbiter::Tenure;
pub use message::{Envelope, Message};
pub use peer::WorkerPeer;
