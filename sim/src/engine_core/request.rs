//! A request as the engine sees it, and what the engine tells about it.

use std::time::Duration;

use super::{Chain, blocks::BlockId};

/// Names a request; unique for the life of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What is asked of the engine.
#[derive(Clone, Debug)]
pub struct Request {
    /// The prompt.
    pub prompt: Chain,
    /// Tokens to generate at most, at least one.
    pub max_tokens: usize,
    /// Tokens after which the model ends by itself; `None` with `ignore_eos`.
    pub stop_after: Option<usize>,
    /// Lower goes first; the same for all under first come, first served.
    pub priority: i64,
    /// The LoRA adapter.
    pub adapter: Option<String>,
}

/// Why a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finish {
    /// The model said so.
    Stop,
    /// `max_tokens` or the model's length.
    Length,
    /// The client left.
    Abort,
}

impl Finish {
    /// vLLM's `finish_reason`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::Abort => "abort",
        }
    }
}

/// Token counts of an ended request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt: usize,
    /// Of these, found in the prefix cache when the request was first admitted.
    pub cached: usize,
    /// Tokens generated.
    pub generated: usize,
}

/// What happened to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A step gave it this token, its last one if `finish` is there.
    Token {
        /// Whose.
        id: RequestId,
        /// Which, see [`super::words`].
        token: u32,
        /// Why none follows.
        finish: Option<Finish>,
    },
    /// It is over. Exactly one for each request.
    End(RequestId, Finish, Usage),
}

/// The order of service: priority, then arrival.
pub(super) type Turn = (i64, RequestId);

/// A request inside the engine, waiting or running.
#[derive(Debug)]
pub(super) struct Sequence {
    pub(super) tokens: Chain,
    pub(super) max_tokens: usize,
    pub(super) stop_after: Option<usize>,
    pub(super) adapter: Option<String>,
    pub(super) prompt: usize,
    pub(super) generated: usize,
    /// Hit at first admission, in tokens.
    pub(super) cached: Option<usize>,
    /// Tokens whose keys and values are in `blocks`.
    pub(super) computed: usize,
    /// Tokens that the current step computes.
    pub(super) granted: usize,
    pub(super) blocks: Vec<BlockId>,
    /// Blocks of `blocks` already published.
    pub(super) published: usize,
    pub(super) preemptions: u32,
    pub(super) seed: u64,
    pub(super) times: Times,
}

/// Milestones, for the histograms.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    pub(super) arrived: Duration,
    pub(super) admitted: Option<Duration>,
    pub(super) first: Option<Duration>,
    pub(super) last: Duration,
}

impl Sequence {
    pub(super) fn new(now: Duration, request: Request) -> Self {
        Self {
            prompt: request.prompt.tokens(),
            seed: request.prompt.digest(),
            tokens: request.prompt,
            max_tokens: request.max_tokens.max(1),
            stop_after: request.stop_after,
            adapter: request.adapter,
            generated: 0,
            cached: None,
            computed: 0,
            granted: 0,
            blocks: Vec::new(),
            published: 0,
            preemptions: 0,
            times: Times { arrived: now, last: now, ..Times::default() },
        }
    }

    /// Tokens still to compute before the next one can be sampled.
    pub(super) fn pending(&self) -> usize {
        self.tokens.tokens() - self.computed
    }

    pub(super) fn usage(&self) -> Usage {
        let cached = self.cached.unwrap_or(0);
        Usage { prompt: self.prompt, cached, generated: self.generated }
    }

    /// Whether, and why, the last token was its last.
    pub(super) fn finish(&self) -> Option<Finish> {
        if self.stop_after.is_some_and(|stop| self.generated >= stop) {
            Some(Finish::Stop)
        } else {
            (self.generated >= self.max_tokens).then_some(Finish::Length)
        }
    }
}
