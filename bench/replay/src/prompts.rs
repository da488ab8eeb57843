//! Prompts as our filter sees them: bytes, made into chains of hashes by the picker's core itself.

use picker_core::{BLOCKS_MAX, Chain, Chainer, Seed};

use crate::{
    fleet::adapter_name,
    trace::{BLOCK_TOKENS, Request, Trace},
};

/// Bytes of text in one token: English runs at about four in real vocabularies.
pub(crate) const TOKEN_BYTES: usize = 4;

/// Returns the chain of each request's prompt, of text of so many bytes a token.
pub(crate) fn chains(trace: &Trace, token_bytes: usize) -> Vec<Chain> {
    trace.requests.iter().map(|request| chain(request, token_bytes)).collect()
}

fn chain(request: &Request, token_bytes: usize) -> Chain {
    let model = request.claims.adapter.map_or_else(|| "replay".to_owned(), adapter_name);
    let mut chainer = Chainer::new(&Seed { model: &model, ..Seed::default() }, BLOCKS_MAX);
    let mut left = request.prompt;
    for block in &request.blocks {
        let tokens = left.min(BLOCK_TOKENS);
        let text = block.to_le_bytes().repeat(tokens * token_bytes / 8);
        chainer.update(&text);
        left -= tokens;
    }
    chainer.finish()
}
