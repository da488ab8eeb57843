//! kv-index's tree of tokens, which SMG has for gRPC, where it has the tokens anyway.

use kv_index::TokenTree;

use super::{Contender, name};
use crate::{plan::Placed, prompt::Prompt};

/// An index that names one worker with the longest match, and others with the same.
#[derive(Debug)]
pub(crate) struct Tokens(TokenTree);

impl Tokens {
    pub(crate) fn new() -> Self {
        Self(TokenTree::new())
    }
}

impl Contender for Tokens {
    type Key<'a> = &'a [u32];
    type News = String;

    fn key<'a>(&self, prompt: &'a Prompt) -> &'a [u32] {
        &prompt.tokens
    }

    fn longest(&mut self, key: &&[u32]) -> usize {
        self.0.match_prefix_with_counts(key).matched_token_count
    }

    fn news(&self, _prompt: &Prompt, placed: &Placed) -> String {
        name(placed.worker)
    }

    fn insert(&mut self, prompt: &Prompt, news: String, _worker: u16) -> Result<(), String> {
        self.0.insert_tokens(&prompt.tokens, &news);
        Ok(())
    }
}
