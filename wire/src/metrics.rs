//! The load of a model server, read off its `/metrics` page.
//!
//! Nothing is allocated per line but names, of the model and of LoRA adapters.

// The families that an engine's page has.
mod engine;
mod engines;
mod plan;

// A page: its lines, its places, its load.
mod adapters;
mod reading;
mod scanner;
mod series;

use std::sync::Arc;

pub use adapters::{ADAPTER_NAME_MAX, ADAPTERS_MAX};
pub use engine::{CacheSpec, Engine, Spec};
pub use engines::Engines;
pub use reading::{CUSTOM_MAX, MODEL_NAME_MAX, PrefixUse, Reading, Unfit};
pub use scanner::Scanner;

use series::Series;

/// Reads one page of a vLLM server.
///
/// # Errors
/// Those of [`Scanner::scan`].
pub fn scan(page: &[u8]) -> Result<Reading, Unfit> {
    Scanner::new(Arc::new(Engine::vllm())).scan(page)
}
