//! Bytes to types and back: request bodies, the plugin's configuration, metrics pages, snapshots,
//! notes and pushes. The only place where serde is used, and what the fuzzers attack: everything in
//! here takes bytes from strangers, so nothing panics and every length has a bound.

pub mod board;
pub mod body;
pub mod config;
mod fixed;
mod frame;
pub mod jwt;
pub mod kubernetes;
pub mod ledger;
pub mod message;
pub mod metrics;
pub mod models;
pub mod note;
pub mod pull;
pub mod push;
pub mod queues;
pub mod report;
pub mod response;
pub mod roll;
pub mod row;
pub mod snapshot;

pub use frame::FrameError;
