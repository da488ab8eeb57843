//! The pods: simulated vLLM engines, and the metrics that they show.

use std::time::Duration;

use sim::engine_core::{Chain, Config, Cost, Effect, EngineCore, RequestId};

use crate::trace::{BLOCK_TOKENS, Request};

/// A pod's size and speed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pod {
    /// Number of tokens that the KV cache holds.
    pub(crate) kv_tokens: usize,
    /// Price list of a step.
    pub(crate) cost: Cost,
    /// Speed as a multiple of the price list's, below 1 if slower.
    pub(crate) speed: f64,
    /// Number of requests that run at once.
    pub(crate) max_running: usize,
    /// Number of tokens computed in one step.
    pub(crate) max_step_tokens: usize,
}

impl Pod {
    /// A pod like vLLM with Qwen3-32B on two H100, in the size of reference figures: a step takes
    /// 12 ms, 0.12 ms for each decoding request, and a second for each 20,480 prompt tokens.
    pub(crate) const H100: Self = Self {
        kv_tokens: 500_000,
        cost: Cost {
            step: Duration::from_millis(12),
            prefill_token: Duration::from_nanos(48_828),
            attention: Duration::ZERO,
            decode: Duration::from_micros(120),
            admitted_token: Duration::ZERO,
        },
        speed: 1.0,
        // vLLM's defaults on such a machine.
        max_running: 256,
        max_step_tokens: 8192,
    };

    /// A pod like the simulator's default: vLLM 0.32 with a small model on two CPU cores.
    pub(crate) const CPU: Self = Self {
        kv_tokens: 131_072,
        cost: Cost::CPU,
        speed: 1.0,
        max_running: 16,
        max_step_tokens: 2048,
    };

    /// Returns the number of KV blocks that can be handed out.
    pub(crate) fn blocks(&self) -> usize {
        self.kv_tokens / BLOCK_TOKENS
    }

    fn engine(&self) -> EngineCore {
        EngineCore::new(Config {
            block_tokens: BLOCK_TOKENS,
            // vLLM's null block comes on top.
            blocks: self.blocks() + 1,
            max_running: self.max_running,
            max_step_tokens: self.max_step_tokens,
            max_model_tokens: self.kv_tokens,
            max_adapters: 0,
            cost: self.cost.faster(self.speed),
        })
    }
}

/// A pod's metrics page.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Reading {
    /// `vllm:num_requests_waiting`.
    pub(crate) waiting: usize,
    /// `vllm:num_requests_running`.
    pub(crate) running: usize,
    /// `vllm:kv_cache_usage_perc`, 0 to 1.
    pub(crate) kv_usage: f64,
}

/// A request on its way into a pod.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job<'a> {
    pub(crate) id: RequestId,
    /// Number in the trace.
    pub(crate) number: usize,
    pub(crate) request: &'a Request,
}

/// All pods of a replay.
#[derive(Debug)]
pub(crate) struct Fleet {
    engines: Vec<EngineCore>,
    effects: Vec<Effect>,
}

impl Fleet {
    /// Returns idle pods with empty caches.
    pub(crate) fn new(pods: &[Pod]) -> Self {
        let engines = pods.iter().map(Pod::engine).collect();
        Self { engines, effects: Vec::new() }
    }

    /// Returns the time of the next event in a pod, and the pod.
    pub(crate) fn due(&self) -> Option<(Duration, usize)> {
        let due = |(pod, engine): (usize, &EngineCore)| Some((engine.due()?, pod));
        self.engines.iter().enumerate().filter_map(due).min()
    }

    /// Lets a pod do what is due.
    pub(crate) fn advance(&mut self, now: Duration, pod: usize) -> &[Effect] {
        self.effects.clear();
        if let Some(engine) = self.engines.get_mut(pod) {
            engine.advance(now, &mut self.effects);
        }
        &self.effects
    }

    /// Brings a request to a pod, under an id above every id before it.
    pub(crate) fn arrive(&mut self, now: Duration, pod: usize, job: Job<'_>) -> &[Effect] {
        self.effects.clear();
        if let Some(engine) = self.engines.get_mut(pod) {
            let Job { id, number, request } = job;
            let job = sim::engine_core::Request {
                prompt: prompt(request, number),
                max_tokens: request.answer,
                stop_after: None,
                priority: 0,
                adapter: None,
            };
            engine.arrive(now, id, job, &mut self.effects);
        }
        &self.effects
    }

    /// Returns the number of blocks from a prompt's head that a pod has cached, which its KV events
    /// tell.
    pub(crate) fn cached(&self, pod: usize, blocks: &[u64]) -> usize {
        self.engines.get(pod).map_or(0, |engine| engine.pool().find(blocks).len())
    }

    /// Returns the metrics pages of all pods.
    pub(crate) fn readings(&self) -> Vec<Reading> {
        self.engines.iter().map(reading).collect()
    }

    /// Returns the prompt tokens computed by each pod.
    pub(crate) fn computed(&self) -> Vec<u64> {
        let computed = |engine: &EngineCore| {
            let meter = engine.meter();
            meter.prefix_cache_queries - meter.prefix_cache_hits
        };
        self.engines.iter().map(computed).collect()
    }
}

fn reading(engine: &EngineCore) -> Reading {
    let gauges = &engine.meter().gauges;
    Reading { waiting: gauges.waiting, running: gauges.running, kv_usage: gauges.kv_usage() }
}

/// Returns the prompt as an engine sees it. The trace names full blocks; the tokens after them are
/// the request's own.
fn prompt(request: &Request, number: usize) -> Chain {
    let mut chain = Chain::from_hashes(BLOCK_TOKENS, request.full_blocks().to_vec());
    let own = u32::try_from(number).unwrap_or(u32::MAX);
    (chain.tokens()..request.prompt).for_each(|_| chain.push(own));
    chain
}
