//! What happens outside.

use std::net::SocketAddr;

use crate::{Chain, Instant, Note, Snapshot};

/// Something that happened, for [`crate::Engine::handle`].
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A new view of the pool.
    Snapshot {
        /// The view.
        snapshot: Snapshot,
        /// When it came, by the clock that the engine is told.
        received_at: Instant,
    },
    /// A request goes where [`crate::Engine::decide`] said.
    Sent {
        /// Which one.
        request: RequestId,
        /// What it wanted.
        ask: Ask,
        /// Where it goes.
        endpoint: SocketAddr,
    },
    /// A response's headers came back, or an error in place of them.
    Answered {
        /// To which request.
        request: RequestId,
        /// Whether the model server took the prompt, so that its prefix is cached now.
        success: bool,
    },
    /// A request is over, answered or not.
    Ended {
        /// Which one.
        request: RequestId,
    },
    /// Another worker tells something.
    Noted(Note),
}

/// Identifies one request within one worker, until it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u32);

/// What a request wants, as far as the choice depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// Its prompt. An empty chain goes by load alone.
    pub chain: Chain,
}

impl Ask {
    /// The prompt's estimated tokens, 4 bytes each (EPP: token-producer, estimate).
    #[must_use]
    pub fn tokens(&self) -> u32 {
        tokens(self.chain.blocks)
    }
}

/// The estimated tokens in that many blocks.
#[must_use]
pub fn tokens(blocks: u32) -> u32 {
    blocks.saturating_mul(BLOCK_TOKENS)
}

/// Estimated tokens per block of 256 bytes.
const BLOCK_TOKENS: u32 = 64;
