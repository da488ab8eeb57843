//! The simulated engine: requests in, tokens out, time as an argument.
//!
//! The engine follows the scheduler of vLLM V1. Work is done in steps. A step gives every running
//! request its next token or a chunk of its prompt, admits waiting ones while slots, token budget
//! and KV blocks last, and takes a time that depends on all that ([`Cost`]); a request that comes
//! meanwhile waits for the next step. So a long prefill slows the next token of every request, and
//! gauges move only between steps, as they do on a real server.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

pub mod chain;
pub mod request;
// A step: its plan, its blocks, its time, its tokens.
pub mod blocks;
pub mod cost;
mod schedule;
pub mod words;
// The figures of it all.
pub mod histogram;
pub mod meter;

pub use blocks::BlockPool;
pub use chain::{Chain, TOKEN_BYTES};
pub use cost::{Cost, Work};
pub use meter::{Gauges, Meter};
pub use request::{Effect, Finish, Request, RequestId, Usage};
use request::{Sequence, Turn};

/// Capacity and limits of an engine.
#[derive(Clone, Debug)]
pub struct Config {
    /// Number of tokens in a KV block.
    pub block_tokens: usize,
    /// Number of KV blocks, the null block included. All blocks but that one must hold
    /// `max_model_tokens`.
    pub blocks: usize,
    /// Number of requests that run at once.
    pub max_running: usize,
    /// Number of tokens computed in one step.
    pub max_step_tokens: usize,
    /// Number of tokens of prompt and answer together.
    pub max_model_tokens: usize,
    /// Number of LoRA adapters in one batch; 0 if there are none at all.
    pub max_adapters: usize,
    /// Price list of a step.
    pub cost: Cost,
}

/// A simulated engine.
#[derive(Debug)]
pub struct EngineCore {
    config: Config,
    pool: BlockPool,
    waiting: BTreeMap<Turn, Sequence>,
    running: BTreeMap<Turn, Sequence>,
    turns: BTreeMap<RequestId, Turn>,
    /// Requests left by their clients during the step.
    leaving: Vec<Turn>,
    /// End of the step under way; `None` while idle.
    step: Option<Duration>,
    last_work: Work,
    paused: bool,
    meter: Meter,
}

impl EngineCore {
    /// Returns an idle engine with an empty cache.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            pool: BlockPool::new(config.blocks),
            config,
            waiting: BTreeMap::new(),
            running: BTreeMap::new(),
            turns: BTreeMap::new(),
            leaving: Vec::new(),
            step: None,
            last_work: Work::default(),
            paused: false,
            meter: Meter::default(),
        }
    }

    /// Takes in a request. `id` must be greater than every id before it.
    pub fn arrive(
        &mut self,
        now: Duration,
        id: RequestId,
        request: Request,
        out: &mut Vec<Effect>,
    ) {
        self.advance(now, out);
        let turn = (request.priority, id);
        let mut sequence = Sequence::new(now, request);
        let room = self.config.max_model_tokens.saturating_sub(sequence.prompt).max(1);
        sequence.max_tokens = sequence.max_tokens.min(room);
        self.turns.insert(id, turn);
        self.waiting.insert(turn, sequence);
        self.advance(now, out);
    }

    /// Ends a request after its client left: slot and blocks are free at the next step.
    pub fn leave(&mut self, now: Duration, id: RequestId, out: &mut Vec<Effect>) {
        self.advance(now, out);
        self.leaving.extend(self.turns.get(&id));
        self.advance(now, out);
    }

    /// Changes the price list, from the next step on: a machine that slows down.
    pub fn set_cost(&mut self, cost: Cost) {
        self.config.cost = cost;
    }

    /// Stops or allows further steps, like `POST /pause`.
    pub fn pause(&mut self, now: Duration, paused: bool, out: &mut Vec<Effect>) {
        self.advance(now, out);
        self.paused = paused;
        self.advance(now, out);
    }

    /// Ends every step that is due by `now` and begins the next.
    pub fn advance(&mut self, now: Duration, out: &mut Vec<Effect>) {
        let mut at = now;
        loop {
            if let Some(end) = self.step {
                if end > now {
                    return;
                }
                self.step = None;
                self.end_step(end, out);
                at = end;
            }
            self.sweep(at, out);
            if self.paused || !self.begin_step(at) {
                return;
            }
        }
    }

    /// Returns the time at which [`EngineCore::advance`] has something to do; `None` while idle.
    #[must_use]
    pub const fn due(&self) -> Option<Duration> {
        self.step
    }

    /// Returns the numbers of running and of waiting requests at this moment.
    #[must_use]
    pub fn in_flight(&self) -> (usize, usize) {
        (self.running.len(), self.waiting.len())
    }

    /// Returns the figures that the metrics page shows.
    #[must_use]
    pub const fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Returns the KV cache.
    #[must_use]
    pub const fn pool(&self) -> &BlockPool {
        &self.pool
    }

    /// Returns the work of the current or last step.
    #[must_use]
    pub const fn last_work(&self) -> Work {
        self.last_work
    }

    /// Takes out the requests that their clients have left.
    fn sweep(&mut self, at: Duration, out: &mut Vec<Effect>) {
        if self.leaving.is_empty() {
            return;
        }
        for turn in std::mem::take(&mut self.leaving) {
            let sequence = self.running.remove(&turn).or_else(|| self.waiting.remove(&turn));
            if let Some(sequence) = sequence {
                self.retire(turn, &sequence, Finish::Abort, out);
            }
        }
        self.gauge(at);
    }

    fn end_step(&mut self, at: Duration, out: &mut Vec<Effect>) {
        let mut over = Vec::new();
        for (turn, sequence) in &mut self.running {
            if sequence.granted == 0 {
                continue;
            }
            sequence.computed += sequence.granted;
            sequence.granted = 0;
            if sequence.pending() > 0 {
                continue;
            }
            let token = words::token(sequence.seed, sequence.generated);
            sequence.tokens.push(token);
            sequence.generated += 1;
            self.meter.token(at, sequence);
            let finish = sequence.finish();
            out.push(Effect::Token { id: turn.1, token, finish });
            over.extend(finish.map(|finish| (*turn, finish)));
        }
        for (turn, finish) in over {
            if let Some(sequence) = self.running.remove(&turn) {
                self.meter.finish(at, &sequence, finish);
                self.retire(turn, &sequence, finish, out);
            }
        }
        self.meter.step(self.last_work);
        self.gauge(at);
    }

    fn retire(&mut self, turn: Turn, sequence: &Sequence, finish: Finish, out: &mut Vec<Effect>) {
        self.pool.release(&sequence.blocks);
        self.turns.remove(&turn.1);
        out.push(Effect::End(turn.1, finish, sequence.usage()));
    }

    /// Takes the gauges of this moment, between two steps.
    fn gauge(&mut self, at: Duration) {
        let total = self.pool.total();
        self.meter.gauges = Gauges {
            at,
            running: self.running.len(),
            waiting: self.waiting.len(),
            deferred: self.deferred(),
            live_blocks: total - self.pool.free(),
            total_blocks: total,
        };
        if self.config.max_adapters > 0 {
            let running = adapters(&self.running);
            let waiting = adapters(&self.waiting);
            self.meter.adapters(at, &running, &waiting);
        }
    }
}

/// Returns the adapters in use, without repetition.
fn adapters(sequences: &BTreeMap<Turn, Sequence>) -> Vec<&str> {
    let names = sequences.values().filter_map(|sequence| sequence.adapter.as_deref());
    names.collect::<BTreeSet<&str>>().into_iter().collect()
}
