//! The pods: simulated vLLM engines, and the metrics that they show.

use std::time::Duration;

use picker_core::Adapters;
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
    /// Number of LoRA adapters in one batch; 0 if the pod serves none.
    pub(crate) max_adapters: usize,
    pub(crate) role: Role,
}

/// The part that a pod plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Computes prompts and writes answers.
    Both,
    /// Computes prompts for others.
    Prefill,
    /// Writes answers to prompts that others computed.
    Decode,
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
        max_adapters: 0,
        role: Role::Both,
    };

    /// A pod like the simulator's default: vLLM 0.32 with a small model on two CPU cores.
    pub(crate) const CPU: Self = Self {
        kv_tokens: 131_072,
        cost: Cost::CPU,
        speed: 1.0,
        max_running: 16,
        max_step_tokens: 2048,
        max_adapters: 0,
        role: Role::Both,
    };

    /// Returns the number of KV blocks that can be handed out.
    pub(crate) fn blocks(&self) -> usize {
        self.kv_tokens / BLOCK_TOKENS
    }

    pub(crate) fn engine(&self) -> EngineCore {
        EngineCore::new(Config {
            block_tokens: BLOCK_TOKENS,
            // vLLM's null block comes on top.
            blocks: self.blocks() + 1,
            max_running: self.max_running,
            max_step_tokens: self.max_step_tokens,
            max_model_tokens: self.kv_tokens,
            max_adapters: self.max_adapters,
            cost: self.cost.faster(self.speed),
        })
    }
}

/// A pod's metrics page.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Reading {
    /// `vllm:num_requests_waiting`.
    pub(crate) waiting: usize,
    /// `vllm:num_requests_running`.
    pub(crate) running: usize,
    /// `vllm:kv_cache_usage_perc`, 0 to 1.
    pub(crate) kv_usage: f64,
    /// `vllm:lora_requests_info`; none of a pod without adapters.
    pub(crate) adapters: Option<Adapters>,
}

/// A request on its way into a pod.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job<'a> {
    pub(crate) id: RequestId,
    /// Number in the trace.
    pub(crate) number: usize,
    pub(crate) request: &'a Request,
    pub(crate) stage: Stage,
}

/// The work that one pod does for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// All of it.
    Whole,
    /// Computes the prompt for another pod, which takes one token.
    Prefill,
    /// Writes the answer to a prompt that another pod computed.
    Decode,
}

/// All pods of a replay.
#[derive(Debug)]
pub(crate) struct Fleet {
    pods: Vec<Pod>,
    engines: Vec<EngineCore>,
    effects: Vec<Effect>,
}

impl Fleet {
    /// Returns idle pods with empty caches.
    pub(crate) fn new(pods: &[Pod]) -> Self {
        let engines = pods.iter().map(Pod::engine).collect();
        Self { pods: pods.to_vec(), engines, effects: Vec::new() }
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
            let Job { id, number, request, stage } = job;
            let job = sim::engine_core::Request {
                prompt: prompt(request, number),
                max_tokens: if stage == Stage::Prefill { 1 } else { request.answer },
                stop_after: None,
                priority: 0,
                adapter: request.claims.adapter.map(adapter_name),
                is_received: stage == Stage::Decode,
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
        self.pods.iter().zip(&self.engines).map(|(pod, engine)| reading(pod, engine)).collect()
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

fn reading(pod: &Pod, engine: &EngineCore) -> Reading {
    let meter = engine.meter();
    let gauges = &meter.gauges;
    let names =
        |list: &str| list.split(',').filter(|it| !it.is_empty()).map(str::to_owned).collect();
    // Each set has the time at which it was last in use: the latest is the one of now.
    let latest = meter.adapters.iter().max_by_key(|(_, at)| **at);
    let adapters = latest.map(|((running, waiting), _)| Adapters {
        max: u32::try_from(pod.max_adapters).unwrap_or(u32::MAX),
        running: names(running),
        waiting: names(waiting),
    });
    Reading {
        waiting: gauges.waiting,
        running: gauges.running,
        kv_usage: gauges.kv_usage(),
        adapters,
    }
}

/// Returns the model name that a request for an adapter has.
pub(crate) fn adapter_name(adapter: u8) -> String {
    format!("adapter-{adapter}")
}

/// Returns the prompt as an engine sees it. The trace names full blocks; the tokens after them are
/// the request's own.
fn prompt(request: &Request, number: usize) -> Chain {
    let mut chain = Chain::from_hashes(BLOCK_TOKENS, request.full_blocks().to_vec());
    let own = u32::try_from(number).unwrap_or(u32::MAX);
    (chain.tokens()..request.prompt).for_each(|_| chain.push(own));
    chain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Claims;

    #[test]
    fn a_page_shows_the_adapters_in_use() {
        let mut fleet = Fleet::new(&[Pod { max_adapters: 1, ..Pod::CPU }, Pod::CPU]);
        for (number, adapter) in [(0, 3), (1, 5)] {
            let claims = Claims { adapter: Some(adapter), ..Claims::default() };
            let request = Request {
                at: Duration::ZERO,
                prompt: 100,
                answer: 4,
                blocks: vec![number as u64],
                claims,
            };
            let id = RequestId(number as u64 + 1);
            let job = Job { id, number, request: &request, stage: Stage::Whole };
            fleet.arrive(Duration::ZERO, 0, job);
        }
        let (at, _) = fleet.due().unwrap();
        fleet.advance(at, 0);
        let [own, none] = fleet.readings().try_into().unwrap();
        let names = |name: &str| vec![name.to_owned()];
        let expected =
            Adapters { max: 1, running: names("adapter-3"), waiting: names("adapter-5") };
        assert_eq!(own.adapters, Some(expected));
        assert_eq!((own.running, own.waiting, none.adapters), (1, 1, None));
    }
}
