//! Scorers: how well an endpoint suits a request, a number for each thing that one may care about.
//!
//! A scorer is a file in `score/` with its formula and what it needs, and a line in the list of
//! `score/scorer.rs`, with the EPP's name for it. It may look at `pool::Candidate` and
//! `schedule::PickContext`: a scorer that needs more brings a field there.

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
