//! How well an endpoint suits a request: a number for each thing that one may care about.
//!
//! A scorer is a variant of [`Scorer`] with the EPP's name for it, a file in `score/` with its
//! formula, and a line in the match that calls it. What it may look at is in
//! `candidate::Candidate` and `context::PickContext`: a scorer that needs more brings a field there.

mod attribute;
mod cold;
mod estimated_ttft;
mod kv_cache_utilization;
mod label;
mod latency;
mod load;
mod lora_affinity;
mod plugin;
mod prefix_cache;
mod relative;
mod scorer;
mod session;
mod weight;

pub use super::{SessionAffinity, SessionStrategy};
pub use crate::model::Score;
pub use attribute::Attribute;
pub use estimated_ttft::EstimatedTtft;
pub use label::{ContextLength, HeaderLabel, Level, Topology};
pub use latency::{Headroom, Latency};
pub use load::{ActiveRequest, LoadAware, TokenLoad};
pub use prefix_cache::PrefixCache;
pub use scorer::Scorer;
pub use weight::{BadWeight, ScorerWeight};
