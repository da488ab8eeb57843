//! The state of a pool at one moment.

use std::time::Duration;

use super::{Endpoint, Metrics, ModelRewrite, Objective, TextMeasure};

/// The scraper's view of one pool.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The pool's name, as the plugin's configuration and the scraper's agree on.
    pub pool: String,
    /// Time for which the scraper keeps silent from now on as long as nothing changes, beyond its
    /// usual interval. A detector takes the metrics for that much younger than they are.
    pub quiet_for: Duration,
    /// Endpoints of the pool, in the scraper's order. Empty when the pool is scaled to zero.
    pub endpoints: Vec<Endpoint>,
    /// Objectives of the pool, by ascending name, each once.
    pub objectives: Vec<Objective>,
    /// Model rewrites of the pool, the oldest first.
    pub model_rewrites: Vec<ModelRewrite>,
    /// The models that its endpoints say they serve, by ascending name, each once; none where the
    /// scraper does not ask.
    pub models: Vec<Model>,
    /// Bytes per token of the pool's prompts, as its gateways learnt them; at most
    /// [`super::TEXT_MEASURES_MAX`], by ascending name of the model, each once.
    pub texts: Vec<TextMeasure>,
}

impl Snapshot {
    /// True if no endpoint has a request, as far as any was read.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let mut metrics = self.endpoints.iter().filter_map(|endpoint| endpoint.metrics.as_ref());
        metrics.all(|metrics| metrics.waiting == 0 && metrics.running == 0)
    }

    /// True if it says what `other` says, whenever that was read.
    #[must_use]
    pub fn says_what(&self, other: &Self) -> bool {
        let Self { pool, quiet_for, endpoints, objectives, model_rewrites, models, texts } = self;
        let same = |(one, other): (&Endpoint, &Endpoint)| {
            let Endpoint { address, health, metrics, labels, incarnation } = one;
            let same_metrics = match (metrics, &other.metrics) {
                (Some(one), Some(other)) => one.say_what(other),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            same_metrics
                && (address, health, labels) == (&other.address, &other.health, &other.labels)
                && incarnation.number == other.incarnation.number
        };
        endpoints.len() == other.endpoints.len()
            && endpoints.iter().zip(&other.endpoints).all(same)
            && (pool, quiet_for) == (&other.pool, &other.quiet_for)
            && (objectives, model_rewrites) == (&other.objectives, &other.model_rewrites)
            && (models, texts) == (&other.models, &other.texts)
    }
}

impl Metrics {
    fn say_what(&self, other: &Self) -> bool {
        let Self { age: _, waiting, running, kv_usage, cache, adapters, attributes } = self;
        (waiting, running, kv_usage) == (&other.waiting, &other.running, &other.kv_usage)
            && (cache, adapters) == (&other.cache, &other.adapters)
            && *attributes == other.attributes
    }
}

/// The most models of one pool: base models and all adapters that its endpoints list.
pub const MODELS_MAX: usize = 1_024;

/// Bytes of the members of one model: vLLM writes 500, most of them permissions.
pub const MODEL_MEMBERS_MAX: usize = 2_048;

/// Bytes of the members of all models of a pool. They go out with each snapshot; a hundred models as vLLM writes them.
pub const MODELS_MEMBERS_MAX: usize = 64 << 10;

/// A model that can be asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// The model's name.
    pub name: String,
    /// The model that it adapts, if it is a LoRA adapter.
    pub parent: Option<String>,
    /// Word of an engine on it beside its name: members of a JSON object without the braces, at most
    /// [`MODEL_MEMBERS_MAX`] bytes; empty if nothing is known, or too much.
    pub members: String,
}
