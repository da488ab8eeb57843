//! The pods of a run, and what goes wrong with them.

use std::{collections::BTreeMap, time::Duration};

use sim::engine_core::{Chain, Cost, Effect, EngineCore, Request, RequestId};

use super::super::{
    draw::{Dice, Drawn},
    scenario::GateScenario,
};
use crate::{fleet::Pod, trace::BLOCK_TOKENS};

/// A pod.
pub(super) struct Server {
    pub(super) engine: EngineCore,
    pub(super) life: u64,
    pub(super) began: Duration,
    pub(super) is_up: bool,
    /// Requests in the engine by its ids.
    pub(super) jobs: BTreeMap<u64, u32>,
    pub(super) issued: u64,
    pub(super) preempted: u64,
    /// Requests that came during the step: vLLM takes them in at its end, and its gauges of the step's end do
    /// not count them. The simulated engine's own count them as waiting.
    pub(super) fresh: usize,
    /// Gauges of the last step's end: running, waiting, use of the cache.
    pub(super) gauges: (usize, usize, f64),
    pub(super) page: Option<(Duration, usize, usize, f64)>,
}

/// Returns the requests that a scenario's pods end a second when they never lack work.
pub(in crate::adaptive) fn capacity(scenario: &GateScenario) -> f64 {
    let mut dice = Dice::new(99);
    let from = scenario.unit * 2;
    let until = scenario.unit * 4;
    let mut ended = 0_usize;
    for pod in &scenario.pods {
        let mut engine = pod.engine();
        let mut effects = Vec::new();
        let (mut now, mut issued, mut inside) = (Duration::ZERO, 0_u64, 0_usize);
        while now < until {
            while inside < 2 * pod.max_running {
                let drawn = dice.request(scenario);
                engine.arrive(now, RequestId(issued), order(drawn, issued), &mut effects);
                issued += 1;
                inside += 1;
            }
            now = engine.due().unwrap_or(until);
            engine.advance(now, &mut effects);
            for effect in effects.drain(..) {
                if let Effect::End(..) = effect {
                    inside -= 1;
                    ended += usize::from(now >= from);
                }
            }
        }
    }
    ended as f64 / (until - from).as_secs_f64()
}

/// Returns a request as an engine takes it, of which no block is like another's.
fn order(drawn: Drawn, number: u64) -> Request {
    let blocks = (drawn.prompt / BLOCK_TOKENS) as u64;
    let hashes = (0..blocks).map(|block| number << 20 | block).collect();
    let mut prompt = Chain::from_hashes(BLOCK_TOKENS, hashes);
    let own = u32::try_from(number).unwrap_or(u32::MAX);
    (prompt.tokens()..drawn.prompt).for_each(|_| prompt.push(own));
    Request {
        prompt,
        max_tokens: drawn.answer,
        stop_after: None,
        priority: 0,
        adapter: None,
        is_received: false,
    }
}

impl Server {
    /// Starts a pod with an empty cache.
    pub(super) fn new(pod: &Pod) -> Self {
        Self {
            engine: pod.engine(),
            life: 0,
            began: Duration::ZERO,
            is_up: true,
            jobs: BTreeMap::new(),
            issued: 0,
            preempted: 0,
            fresh: 0,
            gauges: (0, 0, 0.0),
            page: None,
        }
    }

    /// Ends the pod's process. Returns the requests that were in it.
    pub(super) fn die(&mut self, pod: &Pod) -> Vec<u32> {
        let jobs = std::mem::take(&mut self.jobs).into_values().collect();
        let dead = std::mem::replace(self, Self { is_up: false, ..Self::new(pod) });
        self.preempted = dead.preempted();
        self.life = dead.life + 1;
        self.issued = 0;
        jobs
    }

    /// Lets the pod serve from now on, at this price list.
    pub(super) fn recover(&mut self, now: Duration, cost: Cost) {
        self.engine.set_cost(cost);
        if !self.is_up {
            self.is_up = true;
            self.began = now;
        }
    }

    /// Ends a step and begins the next one. Returns the effects of the one that ended.
    pub(super) fn step(&mut self, now: Duration) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.engine.advance(now, &mut effects);
        let shown = &self.engine.meter().gauges;
        let fresh = std::mem::take(&mut self.fresh);
        self.gauges = (shown.running, shown.waiting.saturating_sub(fresh), shown.kv_usage());
        effects
    }

    /// Takes a request in. Returns the effects of the step that it may begin.
    pub(super) fn take(&mut self, now: Duration, request: u32, drawn: Drawn) -> Vec<Effect> {
        let id = self.issued;
        self.issued += 1;
        self.jobs.insert(id, request);
        self.fresh += usize::from(self.engine.due().is_some());
        let mut effects = Vec::new();
        self.engine.arrive(now, RequestId(id), order(drawn, request.into()), &mut effects);
        effects
    }

    /// Returns how often the pod took a request's place away.
    pub(super) fn preempted(&self) -> u64 {
        self.preempted + self.engine.meter().preemptions
    }
}
