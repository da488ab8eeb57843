//! Decides where an LLM request goes. Pure: no host, no clock, no randomness of its own, no I/O.

mod endpoint;
pub mod flow;
mod note;
mod prompt;
pub mod saturation;
mod snapshot;
mod time;

pub use endpoint::{Adapters, CacheConfig, Endpoint, Health, Metrics};
pub use note::{Note, Verdict};
pub use prompt::{BlockHash, Chain};
pub use snapshot::Snapshot;
pub use time::Instant;
