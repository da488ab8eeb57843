//! Flow control in a real Envoy of four workers: the messages between its threads, its clock and its metrics are real here.
//!
//! What needs a clock that is turned is told in `mock::flow` only.

mod crowd;
mod discovery;
mod mine;
mod pod;

mod bands;
mod clocks;
mod dashboards;
mod empty;
mod evicting;
mod leaving;
mod lives;
mod metrics;
mod objectives;
mod stopped;
mod tenants;
mod waiting;
