//! The radix tree of NVIDIA Dynamo's router, for one thread.

use dynamo_kv_router::{
    RadixTree, compute_block_hash_for_seq,
    protocols::{
        BlockHashOptions, ExternalSequenceBlockHash, KvCacheEvent, KvCacheEventData,
        KvCacheStoreData, KvCacheStoredBlockData, LocalBlockHash, OverlapScores, RouterEvent,
        compute_seq_hash_for_block,
    },
};

use super::Contender;
use crate::{
    plan::{BLOCK, Placed},
    prompt::Prompt,
};

/// An index that says of each worker how much it holds.
pub(crate) struct Tree(RadixTree);

impl Tree {
    pub(crate) fn new() -> Self {
        Self(RadixTree::new())
    }
}

impl Contender for Tree {
    type Key<'a> = Vec<LocalBlockHash>;
    type News = Option<RouterEvent>;

    fn key(&self, prompt: &Prompt) -> Vec<LocalBlockHash> {
        hashes(prompt)
    }

    fn longest(&mut self, key: &Vec<LocalBlockHash>) -> usize {
        // The tree takes the hashes away from its caller, so a caller that inserts them afterwards
        // clones them.
        tokens(&self.0.find_matches(key.clone(), false))
    }

    fn news(&self, prompt: &Prompt, placed: &Placed) -> Option<RouterEvent> {
        event(prompt, placed)
    }

    fn insert(
        &mut self,
        _: &Prompt,
        news: Option<RouterEvent>,
        _worker: u16,
    ) -> Result<(), String> {
        let Some(event) = news else { return Ok(()) };
        self.0.apply_event(event).map_err(|error| error.to_string())
    }
}

/// Returns a hash for each whole block.
pub(super) fn hashes(prompt: &Prompt) -> Vec<LocalBlockHash> {
    compute_block_hash_for_seq(&prompt.tokens, BLOCK as u32, BlockHashOptions::default())
}

/// Returns the most tokens that any worker holds.
pub(super) fn tokens(scores: &OverlapScores) -> usize {
    scores.scores.values().max().copied().unwrap_or_default() as usize * BLOCK
}

/// Returns the event that the worker has stored the blocks that it did not hold, if there are any.
pub(super) fn event(prompt: &Prompt, placed: &Placed) -> Option<RouterEvent> {
    let contents = hashes(prompt);
    let all = contents.iter().zip(compute_seq_hash_for_block(&contents));
    let mut all = all.map(|(&tokens_hash, hash)| KvCacheStoredBlockData {
        block_hash: ExternalSequenceBlockHash(hash),
        tokens_hash,
        mm_extra_info: None,
    });
    let parent_hash = all.by_ref().take(placed.held / BLOCK).last().map(|block| block.block_hash);
    let blocks: Vec<_> = all.collect();
    let stored = KvCacheStoreData { parent_hash, start_position: None, blocks };
    (!stored.blocks.is_empty()).then(|| {
        let data = KvCacheEventData::Stored(stored);
        RouterEvent::new(placed.worker.into(), KvCacheEvent { event_id: 0, data, dp_rank: 0 })
    })
}
