//! Decides where an LLM request goes. Pure: no host, no clock, no randomness of its own, no I/O.
//!
//! Tell [`Engine::handle`] of each [`Event`]; ask [`Engine::decide`] where a
//! request should go. A prompt comes in as a [`Chain`], which a [`Chainer`] makes from its bytes. A
//! [`cluster::Member`] makes many engines, one per worker, act as one.
//!
//! In reading order: what is known of the pool (`endpoint`, `objective`,
//! `model_rewrite`, `snapshot`), what a
//! request brings (`prompt`), who has which prefix (`prefix`), what is in flight (`ledger`), how
//! endpoints compare (`score`), which is taken (`pick`), the state that ties them together
//! (`engine`); then how full the pool is (`saturation`), who waits and who goes next (`flow`), and
//! how the workers of one Envoy do that together (`cluster`).

mod time;

mod endpoint;
mod model_rewrite;
mod objective;
mod snapshot;

pub mod prefix;
mod prompt;

pub mod cluster;
pub mod flow;
pub mod ledger;
pub mod saturation;

mod pick;
mod pool;
mod rng;
pub mod score;

mod config;
mod engine;
mod event;
mod note;
mod placements;

pub use config::Config;
pub use endpoint::{Adapters, CacheConfig, Endpoint, Health, Metrics};
pub use engine::Engine;
pub use event::{Ask, Event, RequestId, tokens};
pub use model_rewrite::{
    MAX_MODEL_REWRITES, MAX_REWRITE_NAMES, MAX_REWRITE_RULES, MAX_REWRITE_WEIGHT, ModelRewrite,
    ModelRewrites, RewriteRule, RewriteTarget, Rewritten,
};
pub use note::{Note, Verdict};
pub use objective::{MAX_OBJECTIVES, Objective};
pub use pick::{Decision, NoPick, Picker, UnknownPicker};
pub use pool::MAX_ENDPOINTS;
pub use prompt::{BLOCK_BYTES, BlockHash, Chain, Chainer, MAX_BLOCKS, Seed};
pub use score::{Profile, Score, Scorer, UnknownScorer, Weight, WeightedScorer};
pub use snapshot::{MAX_MODELS, Model, Snapshot};
pub use time::Instant;
