//! Flow control in a real Envoy of four workers: the messages between its threads, its clock and its metrics are real here.
//!
//! What needs a worker's VM to die is told in `mock::flow` only: nothing that a client or an operator sends kills one, and
//! there is no door in the filter that is only for tests. So is what needs a clock that is turned.

mod crowd;
mod pod;

mod bands;
mod empty;
mod leaving;
mod metrics;
mod tenants;
mod waiting;
