//! kv-index's ChainIndex, which SMG feeds with the engines' events.

use std::collections::HashMap;

use kv_index::{
    ChainBlockMap, ChainIndex, ContentHash, SequenceHash, StoredBlock,
    compute_request_content_hashes, request_prefix_hashes,
};

use super::{Contender, name};
use crate::{
    plan::{BLOCK, Placed},
    prompt::Prompt,
};

/// An index that says of each worker how much it holds.
#[derive(Default)]
pub(crate) struct Chains {
    index: ChainIndex,
    workers: HashMap<u16, (u32, ChainBlockMap)>,
}

/// Blocks that are new on the worker, and the one before them.
pub(crate) struct Stored {
    blocks: Vec<StoredBlock>,
    parent: Option<SequenceHash>,
}

impl Chains {
    pub(crate) fn new() -> Self {
        Self::default()
    }
}

impl Contender for Chains {
    type Key<'a> = Vec<ContentHash>;
    type News = Stored;

    fn key(&self, prompt: &Prompt) -> Vec<ContentHash> {
        compute_request_content_hashes(&prompt.tokens, BLOCK)
    }

    fn longest(&mut self, key: &Vec<ContentHash>) -> usize {
        let scores = self.index.find_matches(key, false).scores;
        scores.into_values().max().unwrap_or_default() as usize * BLOCK
    }

    fn news(&self, prompt: &Prompt, placed: &Placed) -> Stored {
        let contents = self.key(prompt);
        let all = contents.iter().zip(request_prefix_hashes(&contents));
        let mut all = all.map(|(&content_hash, seq_hash)| StoredBlock { seq_hash, content_hash });
        let parent = all.by_ref().take(placed.held / BLOCK).last().map(|block| block.seq_hash);
        Stored { blocks: all.collect(), parent }
    }

    fn insert(&mut self, _prompt: &Prompt, news: Stored, worker: u16) -> Result<(), String> {
        if !self.workers.contains_key(&worker) {
            let id = self.index.intern_worker(&name(worker)).map_err(|error| error.to_string())?;
            self.workers.insert(worker, (id, ChainBlockMap::default()));
        }
        let (id, map) = self.workers.get_mut(&worker).ok_or("no such worker")?;
        let stored = self.index.apply_stored(*id, &news.blocks, news.parent, map);
        stored.map_err(|error| error.to_string())
    }
}
