//! The state of a pool at one moment.

use crate::{Endpoint, ModelRewrite, Objective};

/// The scraper's view of one pool.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The pool's name, as the plugin's configuration and the scraper's agree on.
    pub pool: String,
    /// Its endpoints, in the scraper's order. Empty when the pool is scaled to zero.
    pub endpoints: Vec<Endpoint>,
    /// Its objectives, by ascending name, each once.
    pub objectives: Vec<Objective>,
    /// Its model rewrites, the oldest first.
    pub model_rewrites: Vec<ModelRewrite>,
    /// The models that its endpoints say they serve, by ascending name, each once; none where the
    /// scraper does not ask.
    pub models: Vec<Model>,
}

/// The most models of one pool: base models and all adapters that its endpoints list.
pub const MAX_MODELS: usize = 1_024;

/// A model that can be asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// The model that it adapts, if it is a LoRA adapter.
    pub parent: Option<String>,
}
