//! Bytes to types and back: request bodies, the plugin's configuration, metrics pages, snapshots,
//! placement events and pushes. Everything in this crate takes bytes from strangers and is attacked
//! by fuzzers, so nothing panics and every length has a bound.
//!
//! In reading order: the requests and answers of clients, the configuration, the sources of a
//! snapshot, the snapshot on its way to a gateway and back, and the values that the workers of one
//! Envoy share.

pub mod body;
pub mod jwt;
pub mod models;
pub mod operation;
pub mod response;
pub mod session;

pub mod config;

pub mod kubernetes;
pub mod metrics;

pub mod band_limits;
pub mod beliefs;
pub mod debug;
pub mod decisions;
pub mod details;
pub mod exchange;
pub mod explained;
pub mod push;
pub mod reply;
pub mod report;
pub mod snapshot;
pub mod tally;
pub mod told_objective;

mod fixed;
mod frame;
pub mod names;
mod texts;

pub mod config_in_use;
pub mod config_state;
pub mod heartbeat;
pub mod homes;
pub mod ledger;
pub mod message;
pub mod placement_event;
pub mod pull;
pub mod queues;
pub mod retired;
pub mod shared_snapshot;

pub mod layout;

pub use frame::FrameError;
