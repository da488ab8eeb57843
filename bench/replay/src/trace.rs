//! The requests that are replayed: their times and sizes, and the blocks that their prompts have in
//! common.

mod closed;
mod made;
mod published;
mod short;

pub(crate) use closed::{Clients, Pause, RarePause, Sizes};
pub(crate) use made::{Bursts, HotPrefix, SharedPrefix};

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context, Result};

/// Prompt tokens per block of a trace, which is also the block size of the simulated engines.
pub(crate) const BLOCK_TOKENS: usize = 512;

/// Time of the first request of traffic that is made: a gateway has read the metrics by then.
const FIRST_AT: Duration = Duration::from_secs(1);

/// Requests, those of an open load by ascending time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    pub(crate) requests: Vec<Request>,
    /// Closed loops: the requests that the same client sends next, by the number of the one before
    /// them. A request that follows another one has no time of its own. Empty for an open load.
    pub(crate) follow_ups: BTreeMap<usize, Vec<FollowUp>>,
    /// Time within which requests count; `None` if all of them do.
    pub(crate) window: Option<Window>,
}

/// A request that a client sends once it has the answer to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FollowUp {
    /// Number of the request.
    pub(crate) request: usize,
    /// Time between the answer and the request.
    pub(crate) pause: Duration,
}

/// A part of a replay's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) from: Duration,
    /// End of the window, from which on no client sends another request.
    pub(crate) until: Duration,
}

/// A request of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Time of the arrival, since the trace began.
    pub(crate) at: Duration,
    /// Number of tokens of the prompt.
    pub(crate) prompt: usize,
    /// Number of tokens of the answer, at least one.
    pub(crate) answer: usize,
    /// Blocks of the prompt, the last of them perhaps partial. A number stands for its block and
    /// all before it.
    pub(crate) blocks: Vec<u64>,
    pub(crate) claims: Claims,
}

/// The words of a request beside its prompt, by which a router may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claims {
    /// Number of the LoRA adapter; `None` for the model itself.
    pub(crate) adapter: Option<u8>,
    /// Number of the conversation, as its client names it.
    pub(crate) session: Option<u32>,
    /// Limit on the answer's tokens; none if the client sets none.
    pub(crate) max_tokens: Option<usize>,
}

impl Request {
    /// Returns the blocks that are full, and so can be cached.
    pub(crate) fn full_blocks(&self) -> &[u64] {
        self.blocks.get(..self.prompt / BLOCK_TOKENS).unwrap_or(&self.blocks)
    }

    /// Returns the blocks that an engine may take from its cache: it computes the last token in any
    /// case.
    pub(crate) fn cacheable_blocks(&self) -> &[u64] {
        self.blocks.get(..self.prompt.saturating_sub(1) / BLOCK_TOKENS).unwrap_or(&self.blocks)
    }
}

impl Trace {
    /// Returns the Mooncake conversation trace that comes with the bench.
    pub(crate) fn conversation() -> Result<Self> {
        short::read(include_str!("../data/conversation.txt")).context("data/conversation.txt")
    }

    /// Returns the Azure conversation trace that comes with the bench.
    pub(crate) fn azure() -> Result<Self> {
        let text = include_str!("../data/azure-conversation.txt");
        short::read(text).context("data/azure-conversation.txt")
    }

    /// Reads a trace as it was published: Mooncake's JSON lines, or Azure's CSV.
    pub(crate) fn published(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file);
        let text = text.with_context(|| format!("cannot read {}", file.display()))?;
        let read = if file.extension().is_some_and(|end| end == "csv") {
            published::azure(&text)
        } else {
            published::mooncake(&text)
        };
        read.with_context(|| file.display().to_string())
    }

    /// Returns the first so many requests.
    pub(crate) fn first(mut self, count: usize) -> Self {
        self.requests.truncate(count);
        self
    }

    /// Returns the trace `speed` times as fast.
    pub(crate) fn faster(mut self, speed: f64) -> Self {
        for request in &mut self.requests {
            request.at = request.at.div_f64(speed);
        }
        self
    }

    /// Moves each request to a random moment of the interval that its time was rounded to.
    pub(crate) fn spread(mut self, interval: Duration, seed: u64) -> Self {
        let mut chance = fastrand::Rng::with_seed(seed);
        for request in &mut self.requests {
            request.at += interval.mul_f64(chance.f64());
        }
        self.requests.sort_by_key(|request| request.at);
        self
    }

    /// Has a client send a request once it has the answer to another.
    fn follow(&mut self, before: usize, follow_up: FollowUp) {
        self.follow_ups.entry(before).or_default().push(follow_up);
    }

    /// Returns the time of the last request.
    pub(crate) fn length(&self) -> Duration {
        self.requests.last().map_or(Duration::ZERO, |last| last.at)
    }
}

/// A counter for blocks that are new.
#[derive(Debug, Default)]
pub(crate) struct Numbering(u64);

impl Numbering {
    /// Returns the blocks of a prompt of so many tokens that begins with `seen`.
    pub(crate) fn continue_from(&mut self, mut seen: Vec<u64>, prompt: usize) -> Vec<u64> {
        while seen.len() < prompt.div_ceil(BLOCK_TOKENS) {
            seen.push(self.0);
            self.0 += 1;
        }
        seen
    }
}
