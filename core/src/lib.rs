//! Decides where an LLM request goes. Pure: no host, no clock, no randomness of its own, no I/O.
//!
//! Tell [`Scheduler::handle`] of each [`Event`]; ask [`Scheduler::decide`] where a request should
//! go. A prompt comes in as a [`Chain`], which a [`Chainer`] makes from its bytes. A
//! [`workers::WorkerPeer`] makes many schedulers, one per worker, act as one.
//!
//! In reading order, arrows pointing down only: `model` has the values that all others speak of;
//! the [`ledger`] counts what is in flight, and [`saturation`] says how much more fits; `pool` is
//! what one worker knows of the endpoints; `schedule` chooses one; [`flow`] decides which waiting
//! request goes next; the [`workers`] of one Envoy do that together, and one of them fetches
//! snapshots ([`pull`]); `scheduler` ties the state of one pool together.

mod model;

pub mod ledger;
pub mod saturation;

mod pool;
mod schedule;

pub mod flow;
pub mod pull;
pub mod workers;

mod scheduler;

pub use model::{
    Adapters, BLOCK_BYTES, BLOCKS_MAX, BlockHash, CacheConfig, Chain, Chainer, ClientId,
    ENDPOINTS_MAX, End, Endpoint, EndpointObservation, Event, EventKind, Fault, Health,
    InferenceRequest, Instant, MODEL_REWRITES_MAX, MODELS_MAX, Metrics, Model, ModelRewrite,
    ModelRewrites, Models, OBJECTIVES_MAX, Objective, PickError, PlacementEvent, Prefill,
    REWRITE_NAMES_MAX, REWRITE_RULES_MAX, REWRITE_WEIGHT_MAX, RequestId, ResponseClass,
    RewriteRule, RewriteTarget, Rewritten, Role, Roles, SchedulingResult, Score, Seed, SessionId,
    Slo, Snapshot, Subset, tokens,
};
pub use pool::prefix;
pub use schedule::{
    Admitter, Config, Decider, Disagg, Explained, Explanation, Handler, Order, Picker, Profile,
    ProfileExplanation, Scheduling, StageOrder, WeightedScorer, admission, filter,
    filter::Filter,
    score::{self, Scorer, ScorerWeight},
};
pub use scheduler::Scheduler;
