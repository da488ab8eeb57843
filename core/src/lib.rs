//! Decides where an LLM request goes. Pure: no host, no clock, no randomness of its own, no I/O.
//!
//! Tell [`Scheduler::handle`] of each [`Event`]; ask [`Scheduler::decide`] where a
//! request should go. A prompt comes in as a [`Chain`], which a [`Chainer`] makes from its bytes. A
//! [`workers::WorkerPeer`] makes many engines, one per worker, act as one.
//!
//! In reading order: what is known of the pool (`endpoint`, `objective`, `model_rewrite`, `models`,
//! `snapshot`), what a request brings (`prompt`, `ask`), who has which prefix (`prefix`), what is in
//! flight (`ledger`); then who is turned away (`admission`), which endpoints may be taken (`filter`),
//! how they compare (`score`), which is taken (`pick`), how these make a `profile` and profiles a choice
//! (`scheduling`), the state that ties them together (`engine`); then how full the pool is (`saturation`), who waits and who goes
//! next (`flow`), how the workers of one Envoy do that together (`cluster`), and which of them fetches
//! snapshots (`pull`).

mod time;

mod endpoint;
mod model_rewrite;
mod models;
mod objective;
mod snapshot;

pub mod prefix;
mod prompt;
mod request;

pub mod flow;
pub mod ledger;
pub mod pull;
pub mod saturation;
pub mod workers;

pub mod admission;
mod candidate;
mod context;
mod explanation;
pub mod filter;
mod learned;
mod outlier;
mod pick;
mod pool;
mod profile;
mod rng;
mod scheduling;
pub mod score;
mod sessions;

mod config;
mod event;
mod fault;
mod placement_event;
mod placements;
mod scheduler;

pub use admission::Admitter;
pub use config::Config;
pub use endpoint::{Adapters, CacheConfig, Endpoint, Health, Metrics};
pub use event::{End, Event, RequestId, ResponseClass};
pub use explanation::{Explained, Explanation, ProfileExplanation};
pub use fault::{ClientId, Fault};
pub use filter::Filter;
pub use model_rewrite::{
    MODEL_REWRITES_MAX, ModelRewrite, ModelRewrites, REWRITE_NAMES_MAX, REWRITE_RULES_MAX,
    REWRITE_WEIGHT_MAX, RewriteRule, RewriteTarget, Rewritten,
};
pub use models::Models;
pub use objective::{OBJECTIVES_MAX, Objective};
pub use pick::{EndpointObservation, Order, PickError, Picker, Prefill, SchedulingResult};
pub use placement_event::{EventKind, PlacementEvent};
pub use pool::ENDPOINTS_MAX;
pub use profile::{Profile, WeightedScorer};
pub use prompt::{BLOCK_BYTES, BLOCKS_MAX, BlockHash, Chain, Chainer, Seed};
pub use request::{InferenceRequest, Slo, Subset, tokens};
pub use scheduler::Scheduler;
pub use scheduling::{Decider, Disagg, Handler, Scheduling, StageOrder};
pub use score::{Score, Scorer, ScorerWeight};
pub use sessions::SessionId;
pub use snapshot::{MODELS_MAX, Model, Snapshot};
pub use time::Instant;
