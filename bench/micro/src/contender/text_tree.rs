//! kv-index's tree of text, which SMG's and SGLang's routers have for HTTP.

use kv_index::StringTree;

use super::{Contender, name};
use crate::{
    plan::Placed,
    prompt::{Prompt, TOKEN_BYTES},
};

/// An index that names one worker with the longest match, and others with the same.
#[derive(Debug)]
pub(crate) struct Texts(StringTree);

impl Texts {
    pub(crate) fn new() -> Self {
        Self(StringTree::new())
    }
}

impl Contender for Texts {
    type Key<'a> = &'a str;
    type News = String;

    fn key<'a>(&self, prompt: &'a Prompt) -> &'a str {
        &prompt.text
    }

    fn longest(&mut self, key: &&str) -> usize {
        self.0.match_prefix_with_counts(key).matched_char_count / TOKEN_BYTES
    }

    fn news(&self, _prompt: &Prompt, placed: &Placed) -> String {
        name(placed.worker)
    }

    fn insert(&mut self, prompt: &Prompt, news: String, _worker: u16) -> Result<(), String> {
        self.0.insert_text(&prompt.text, &news);
        Ok(())
    }
}
