//! Traffic that no published trace has.

use std::time::Duration;

use super::{BLOCK_TOKENS, Claims, FIRST_AT, Numbering, Request, Trace};

/// Long prefixes that many requests share, as in llm-d's published benchmark of precise prefix
/// routing: 150 prefixes of 6,000 tokens, questions of 1,200, answers of 1,000.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SharedPrefix {
    /// Number of prefixes.
    pub(crate) prefixes: usize,
    /// Number of tokens of each prefix.
    pub(crate) prefix: usize,
    /// Number of tokens after the prefix, each time new.
    pub(crate) question: usize,
    /// Number of tokens of the answers, in the mean.
    pub(crate) answer: usize,
    /// Number of requests.
    pub(crate) requests: usize,
    /// Number of requests per second.
    pub(crate) rate: f64,
}

impl SharedPrefix {
    /// Makes requests at random moments (a Poisson process), each for a random prefix.
    pub(crate) fn trace(self, seed: u64) -> Trace {
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut numbering = Numbering::default();
        let whole = self.prefix / BLOCK_TOKENS * BLOCK_TOKENS;
        let prefixes: Vec<Vec<u64>> =
            (0..self.prefixes).map(|_| numbering.continue_from(Vec::new(), whole)).collect();
        let mut at = 0.0;
        let requests = (0..self.requests).map(|_| {
            at += -(1.0 - chance.f64()).ln() / self.rate;
            let prompt = whole + self.question.div_euclid(2) + chance.usize(..=self.question);
            let prefix = chance.choice(&prefixes).cloned().unwrap_or_default();
            Request {
                at: Duration::from_secs_f64(at),
                prompt,
                answer: self.answer / 2 + chance.usize(..=self.answer),
                blocks: numbering.continue_from(prefix, prompt),
                claims: Claims::default(),
            }
        });
        Trace { requests: requests.collect(), ..Trace::default() }
    }
}

/// A prefix that a share of all traffic begins with, from one moment on: a new system prompt, or a
/// document that is suddenly in demand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HotPrefix {
    /// Share of the requests, 0 to 1.
    pub(crate) share: f64,
    /// Number of tokens of the prefix.
    pub(crate) tokens: usize,
}

impl HotPrefix {
    /// First of the numbers that no trace gets to.
    const FIRST: u64 = 1 << 40;

    /// Puts the prefix in front of a share of the requests in the trace's second half.
    pub(crate) fn over(self, mut trace: Trace, seed: u64) -> Trace {
        let mut chance = fastrand::Rng::with_seed(seed);
        let half = trace.length() / 2;
        let count = self.tokens / BLOCK_TOKENS;
        let hot: Vec<u64> = (Self::FIRST..).take(count).collect();
        let mut numbering = Numbering(Self::FIRST * 2);
        for request in trace.requests.iter_mut().filter(|request| request.at >= half) {
            if chance.f64() < self.share {
                // Behind another beginning, what follows is another block too.
                request.prompt += count * BLOCK_TOKENS;
                request.blocks = numbering.continue_from(hot.clone(), request.prompt);
            }
        }
        trace
    }
}

/// Many requests at the same moment that begin alike, again and again: a batch job, or an agent that
/// starts its helpers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bursts {
    /// Number of bursts.
    pub(crate) bursts: u32,
    /// Number of requests of a burst.
    pub(crate) requests: usize,
    /// Time between two bursts.
    pub(crate) every: Duration,
    /// Number of tokens that all prompts of a burst begin with.
    pub(crate) prefix: usize,
    /// Number of tokens after them, each time new.
    pub(crate) own: usize,
    /// Number of tokens of an answer.
    pub(crate) answer: usize,
    /// True if each burst has a prefix of its own.
    pub(crate) is_new: bool,
}

impl Bursts {
    pub(crate) fn trace(self) -> Trace {
        let mut numbering = Numbering::default();
        let whole = self.prefix / BLOCK_TOKENS * BLOCK_TOKENS;
        let mut prefix = numbering.continue_from(Vec::new(), whole);
        let mut trace = Trace::default();
        for burst in 0..self.bursts {
            if self.is_new && burst > 0 {
                prefix = numbering.continue_from(Vec::new(), whole);
            }
            let at = FIRST_AT + self.every * burst;
            let prompt = whole + self.own;
            trace.requests.extend((0..self.requests).map(|_| {
                let blocks = numbering.continue_from(prefix.clone(), prompt);
                Request { at, prompt, answer: self.answer, blocks, claims: Claims::default() }
            }));
        }
        trace
    }
}
