//! Decides where an LLM request goes. Pure: no host, no clock, no randomness of its own, no I/O.
//!
//! Tell [`Engine::handle`] of each [`Event`]; ask [`Engine::decide`] where a
//! request should go. A prompt comes in as a [`Chain`], which a [`Chainer`] makes from its bytes. A
//! [`cluster::Member`] makes many engines, one per worker, act as one.
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

mod ask;
pub mod prefix;
mod prompt;

pub mod cluster;
pub mod flow;
pub mod ledger;
pub mod pull;
pub mod saturation;

pub mod admission;
mod avoidance;
mod candidate;
mod explanation;
pub mod filter;
mod learned;
mod pick;
mod pool;
mod profile;
mod rng;
mod scene;
mod scheduling;
pub mod score;
mod sessions;

mod config;
mod engine;
mod event;
mod fault;
mod note;
mod placements;

pub use admission::Admitter;
pub use ask::{Ask, Slo, Subset, tokens};
pub use config::Config;
pub use endpoint::{Adapters, CacheConfig, Endpoint, Health, Metrics};
pub use engine::Engine;
pub use event::{Answer, End, Event, RequestId};
pub use explanation::{Explained, Explanation, ProfileExplanation};
pub use fault::{Client, Fault};
pub use filter::Filter;
pub use model_rewrite::{
    MAX_MODEL_REWRITES, MAX_REWRITE_NAMES, MAX_REWRITE_RULES, MAX_REWRITE_WEIGHT, ModelRewrite,
    ModelRewrites, RewriteRule, RewriteTarget, Rewritten,
};
pub use models::Models;
pub use note::{Note, Verdict};
pub use objective::{MAX_OBJECTIVES, Objective};
pub use pick::{Decision, NoPick, Order, Picker, Prefill, Sight};
pub use pool::MAX_ENDPOINTS;
pub use profile::{Profile, WeightedScorer};
pub use prompt::{BLOCK_BYTES, BlockHash, Chain, Chainer, MAX_BLOCKS, Seed};
pub use scheduling::{Decider, Disagg, Handler, Scheduling, StageOrder};
pub use score::{Score, Scorer, Weight};
pub use sessions::SessionId;
pub use snapshot::{MAX_MODELS, Model, Snapshot};
pub use time::Instant;
