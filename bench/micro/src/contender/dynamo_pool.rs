//! The same router's tree for many threads, behind the four that its configuration has by default.

use dynamo_kv_router::{
    ConcurrentRadixTreeCompressed, ThreadPoolIndexer,
    indexer::KvIndexerInterface as _,
    protocols::{LocalBlockHash, RouterEvent},
};

use super::{Contender, dynamo};
use crate::{
    plan::{BLOCK, Placed},
    prompt::Prompt,
};

/// Number of threads: Dynamo's `router_event_threads` by default.
const THREADS: usize = 4;

/// A tree with lookups on the caller's thread, and with inserts on a thread of its own, which the
/// caller waits for.
pub(crate) struct Pool(ThreadPoolIndexer<ConcurrentRadixTreeCompressed>);

impl Pool {
    pub(crate) fn new() -> Self {
        let tree = ConcurrentRadixTreeCompressed::new();
        Self(ThreadPoolIndexer::new(tree, THREADS, BLOCK as u32))
    }
}

impl Contender for Pool {
    type Key<'a> = Vec<LocalBlockHash>;
    type News = Option<RouterEvent>;

    fn key(&self, prompt: &Prompt) -> Vec<LocalBlockHash> {
        dynamo::hashes(prompt)
    }

    fn longest(&mut self, key: &Vec<LocalBlockHash>) -> usize {
        let scores = pollster::block_on(self.0.find_matches(key.clone()));
        scores.map_or(0, |scores| dynamo::tokens(&scores))
    }

    fn news(&self, prompt: &Prompt, placed: &Placed) -> Option<RouterEvent> {
        dynamo::event(prompt, placed)
    }

    fn insert(
        &mut self,
        _: &Prompt,
        news: Option<RouterEvent>,
        _worker: u16,
    ) -> Result<(), String> {
        let Some(event) = news else { return Ok(()) };
        let applied = pollster::block_on(self.0.apply_event_and_wait(event));
        applied.map_err(|error| error.to_string())
    }
}
