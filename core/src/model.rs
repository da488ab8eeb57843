//! Values that every part of the crate speaks of: time and chance, a pool and its state, a request
//! and its outcome.
//!
//! In reading order: `time` and `rng`; a pool as snapshots describe it; a prompt and the request
//! around it; what the choice came to, what became of it, and what the workers of one Envoy tell
//! each other.

mod amounts;
mod ids;
mod policy;
mod randomness;
mod rng;
mod score;
mod table_key;
mod time;

mod condition;
mod endpoint;
mod incarnation;
mod models;
mod objective;
mod rewrite;
mod role;
mod snapshot;

mod kept_name;
mod prompt;
mod request;
mod session;
mod text;

mod event;
mod outcome;
mod placement_event;
mod reasons;
mod result;
mod usage;

pub use amounts::{Amounts, Measure};
pub use condition::PoolCondition;
pub use endpoint::{Adapters, CacheConfig, ENDPOINTS_MAX, Endpoint, Health, Metrics};
pub use event::Event;
pub use ids::{QueueId, RequestId, WorkerId};
pub use incarnation::Incarnation;
pub use kept_name::KeptName;
pub use models::Models;
pub use objective::{OBJECTIVES_MAX, Objective, Priority};
pub use outcome::{ClientId, End, Fault, ResponseClass, ResponseStart};
pub use placement_event::{EventKind, PlacementEvent};
pub use policy::UnknownPolicy;
pub use prompt::{
    BLOCK_BYTES, BLOCKS_MAX, BlockHash, Chain, Chainer, PromptHead, PromptKey, PromptOrder,
    Section, Seed, ToolsAt,
};
pub(crate) use prompt::{HeadPart, digest_all, mix};
pub use randomness::Randomness;
pub use reasons::{Expectation, Reasons};
pub use request::{InferenceRequest, PromptSize, Slo, Subset};
pub use result::{Denied, EndpointObservation, PickError, Prefill, SchedulingResult};
pub use rewrite::{
    MODEL_REWRITES_MAX, ModelRewrite, ModelRewrites, REWRITE_NAMES_MAX, REWRITE_RULES_MAX,
    REWRITE_WEIGHT_MAX, RewriteRule, RewriteTarget, Rewritten,
};
pub(crate) use rng::Rng;
pub use role::{Role, Roles};
pub use score::Score;
pub use session::SessionId;
pub use snapshot::{MODEL_MEMBERS_MAX, MODELS_MAX, MODELS_MEMBERS_MAX, Model, Snapshot};
pub use table_key::TableKey;
pub use text::{BytesPerToken, TEXT_MEASURES_MAX, TextMeasure};
pub use time::Instant;
pub use usage::TokenUsage;
