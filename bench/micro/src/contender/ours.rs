//! The index of `core/`: the prompt's bytes as a chain of hashes, thinned out; an LRU for each worker.

use picker_core::{
    BLOCKS_MAX, Chain, Chainer, Randomness, Seed,
    prefix::{Index, Matches, Slot},
};

use super::Contender;
use crate::{
    plan::{Placed, WORKERS},
    prompt::{Prompt, TOKEN_BYTES},
};

/// An index without limits, so that nothing is evicted, as in the other indexes.
#[derive(Debug)]
pub(crate) struct Ours {
    index: Index,
    /// Matches, kept between lookups, as the scheduler does.
    matches: Matches,
}

impl Ours {
    pub(crate) fn new() -> Self {
        let mut index = Index::new(usize::MAX, Randomness::from_seed(0).table_key);
        (0..WORKERS).for_each(|worker| index.admit(Slot(worker), u32::MAX));
        Self { index, matches: Matches::default() }
    }
}

impl Contender for Ours {
    type Key<'a> = Chain;
    type News = Chain;

    fn key(&self, prompt: &Prompt) -> Chain {
        let mut chainer = Chainer::new(&Seed::default(), BLOCKS_MAX);
        chainer.update(prompt.text.as_bytes());
        chainer.finish()
    }

    fn longest(&mut self, key: &Chain) -> usize {
        self.index.matches(key, &mut self.matches);
        let most = (0..WORKERS).map(|worker| self.matches.blocks(Slot(worker))).max();
        most.unwrap_or_default() as usize * picker_core::BLOCK_BYTES / TOKEN_BYTES
    }

    fn news(&self, prompt: &Prompt, _placed: &Placed) -> Chain {
        self.key(prompt)
    }

    fn insert(&mut self, _prompt: &Prompt, news: Chain, worker: u16) -> Result<(), String> {
        self.index.learn(Slot(worker), &news);
        Ok(())
    }
}
