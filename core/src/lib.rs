//! The decision where an LLM request goes. Pure: no host, no clock, no randomness of its own, no I/O.
//!
//! Every worker thread of an Envoy has one [`Worker`] per pool. The host runs this loop, which is
//! [`worker::turn`], for each [`worker::Input`]:
//!
//! ```text
//! let proposal = loop {
//!     let seen = store.read(worker.wants(&input));        // ledger, new events, snapshot
//!     let proposal = worker.propose(now, &input, seen);   // pure
//!     if store.commit(&proposal) { break proposal }       // compare-and-swap on the ledger
//! };
//! for effect in worker.commit(now, input, proposal) { host.run(effect) }
//! ```
//!
//! Entry points, each usable alone:
//! - [`Worker`], with [`worker::MemoryStore`] where all workers live in one process;
//! - [`Scheduler`], the decision of one worker without the others: [`Scheduler::handle`] takes
//!   [`Event`]s in, and [`Scheduler::decide`] chooses endpoints for a request;
//! - [`Chainer`], which makes the [`Chain`] of block hashes that stands for a prompt;
//! - [`flow::Controller`], the queues of flow control.
//!
//! Modules in reading order; each uses only those before it. `model` has the values that all others
//! use. [`uploads`] limits what bodies on their way in pin. The [`ledger`] counts the requests in flight, and [`saturation`] tells how much more fits.
//! [`flow`] decides which waiting request goes next, and [`held_bodies`] limits what those pin. By the [`exchange`] several gateways act as one.
//! `pool` is one worker's knowledge of the endpoints, and `schedule` chooses among them. By [`pull`] one
//! worker of an Envoy fetches snapshots. By [`workers`] the workers of an Envoy share one queue.
//! `scheduler` is the state and decision of one pool in one worker, and [`worker`] is all of it in one
//! type.

mod model;

pub mod uploads;

pub mod ledger;
pub mod saturation;

pub mod flow;
pub mod held_bodies;

pub mod exchange;

mod pool;
mod schedule;

pub mod pull;
pub mod workers;

mod scheduler;
pub mod worker;

pub use model::{
    Adapters, Amounts, BLOCK_BYTES, BLOCKS_MAX, BlockHash, BytesPerToken, CacheConfig, Chain,
    Chainer, ClientId, ENDPOINTS_MAX, End, Endpoint, EndpointObservation, Event, EventKind,
    Expectation, Fault, Health, Incarnation, InferenceRequest, Instant, KeptName,
    MODEL_MEMBERS_MAX, MODEL_REWRITES_MAX, MODELS_MAX, MODELS_MEMBERS_MAX, Measure, Metrics, Model,
    ModelRewrite, ModelRewrites, Models, OBJECTIVES_MAX, Objective, PickError, PlacementEvent,
    PoolCondition, Prefill, PromptHead, PromptKey, PromptOrder, PromptSize, REWRITE_NAMES_MAX,
    REWRITE_RULES_MAX, REWRITE_WEIGHT_MAX, Randomness, Reasons, RequestId, ResponseClass,
    ResponseStart, RewriteRule, RewriteTarget, Rewritten, Role, Roles, SchedulingResult, Score,
    Section, Seed, SessionId, Slo, Snapshot, Subset, TEXT_MEASURES_MAX, TableKey, TextMeasure,
    TokenUsage, ToolsAt,
};
pub use pool::prefix;
pub use schedule::{
    Admitter, Clock, Config, Decider, Disagg, Explained, Explanation, ExtensionPoint, Handler,
    Order, OutputEstimate, OutputRatio, Picker, PluginTime, Profile, ProfileExplanation,
    Scheduling, StageOrder, StagesApart, WeightedScorer, admission, filter,
    filter::Filter,
    score::{self, Scorer, ScorerWeight},
};
pub use scheduler::Scheduler;
pub use worker::Worker;
