//! The bound of the hits: the share of a trace's prompts that could have been cached.

use crate::{
    peer::Lru,
    trace::{BLOCK_TOKENS, Trace},
};

/// First number for answers' blocks, which no trace names.
const ANSWERS: u64 = 1 << 50;

/// Returns the prompt tokens found in one cache that all requests go through in order, as a share
/// of all: with as many blocks as all pods together, the most that routing can hope for; with
/// blocks without end, the most that is possible at all. Answers take room in the cache, as they do
/// in a pod.
pub(crate) fn hit(trace: &Trace, blocks: usize) -> f64 {
    let mut cache = Lru::new(blocks);
    let mut found = 0;
    let mut answers = ANSWERS..;
    for request in &trace.requests {
        found += cache.matched(request.cacheable_blocks()) * BLOCK_TOKENS;
        let mut all = request.full_blocks().to_vec();
        let whole = (request.prompt + request.answer) / BLOCK_TOKENS;
        all.extend(answers.by_ref().take(whole - all.len()));
        cache.learn(&all);
    }
    let prompts: usize = trace.requests.iter().map(|request| request.prompt).sum();
    found as f64 / prompts.max(1) as f64
}
