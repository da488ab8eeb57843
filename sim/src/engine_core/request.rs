//! A request as the engine sees it, and the engine's effects on it.

use std::time::Duration;

use super::{Chain, blocks::BlockId};

/// Id of a request; unique for the life of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// A request's prompt and limits, as handed to the engine.
#[derive(Clone, Debug)]
pub struct Request {
    /// Tokens of the prompt.
    pub prompt: Chain,
    /// Number of tokens to generate at most, at least one.
    pub max_tokens: usize,
    /// Number of tokens after which the model ends by itself; `None` with `ignore_eos`.
    pub stop_after: Option<usize>,
    /// Priority: lower goes first; the same for all under first come, first served.
    pub priority: i64,
    /// Name of the LoRA adapter; `None` for the model itself.
    pub adapter: Option<String>,
    /// True if another engine has computed the prompt and its keys and values come along, as in
    /// disaggregated serving: all but the prompt's last token is there once there is room for it.
    pub is_received: bool,
}

/// Reason of a request's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finish {
    /// The model ended the answer.
    Stop,
    /// The answer reached `max_tokens` or the model's length.
    Length,
    /// The client left before the end.
    Abort,
}

impl Finish {
    /// Returns vLLM's `finish_reason`.
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
    /// Number of tokens of the prompt.
    pub prompt: usize,
    /// Number of prompt tokens found in the prefix cache when the request was first admitted.
    pub cached: usize,
    /// Number of tokens generated.
    pub generated: usize,
}

/// An event in the life of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A step gave the request a token, the last one if `finish` is there.
    Token {
        /// Id of the request.
        id: RequestId,
        /// Id of the token; [`super::words`] has its text.
        token: u32,
        /// Reason of the end, with the last token.
        finish: Option<Finish>,
    },
    /// The request is over. Comes exactly once for each request.
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
    /// True until the first admission if keys and values of the prompt come along.
    pub(super) is_received: bool,
    pub(super) prompt: usize,
    pub(super) generated: usize,
    /// Number of prompt tokens found in the cache at the first admission; `None` before it.
    pub(super) cached: Option<usize>,
    /// Number of tokens that have keys and values in `blocks`.
    pub(super) computed: usize,
    /// Number of tokens that the current step computes.
    pub(super) granted: usize,
    pub(super) blocks: Vec<BlockId>,
    /// Number of blocks of `blocks` already published.
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
            is_received: request.is_received,
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

    /// Returns the number of tokens still to compute before the next one can be sampled.
    pub(super) fn pending(&self) -> usize {
        self.tokens.tokens() - self.computed
    }

    pub(super) fn usage(&self) -> Usage {
        let cached = self.cached.unwrap_or(0);
        Usage { prompt: self.prompt, cached, generated: self.generated }
    }

    /// Returns the reason of the end, if the last token ended the request.
    pub(super) fn finish(&self) -> Option<Finish> {
        if self.stop_after.is_some_and(|stop| self.generated >= stop) {
            Some(Finish::Stop)
        } else {
            (self.generated >= self.max_tokens).then_some(Finish::Length)
        }
    }
}
