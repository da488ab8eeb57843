//! The prefix indexes that are compared.

pub(crate) mod chain_index;
pub(crate) mod dynamo;
pub(crate) mod dynamo_pool;
pub(crate) mod ours;
pub(crate) mod text_tree;
pub(crate) mod token_tree;

use crate::{plan::Placed, prompt::Prompt};

/// An index that is filled and asked.
pub(crate) trait Contender {
    /// Type of what the index compares: hashes, or the prompt as it is.
    type Key<'a>;

    /// Type of what the index is told of a placement besides the prompt.
    type News;

    /// Makes the key; on the clock as hashing.
    fn key<'a>(&self, prompt: &'a Prompt) -> Self::Key<'a>;

    /// Returns the tokens from the prompt's head that the worker with the most of them holds; on
    /// the clock.
    fn longest(&mut self, key: &Self::Key<'_>) -> usize;

    /// Returns what an engine's event would say; not on the clock.
    fn news(&self, prompt: &Prompt, placed: &Placed) -> Self::News;

    /// Notes that the worker holds the prompt; on the clock.
    fn insert(&mut self, prompt: &Prompt, news: Self::News, worker: u16) -> Result<(), String>;
}

/// Returns the name of a worker where names are asked for: an address, as a router would have it.
fn name(worker: u16) -> String {
    format!("http://10.0.0.{worker}:8000")
}
