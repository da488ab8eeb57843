//! The prototype of llm-picker's own scorer: the pod that is likely to give the first token first.
//!
//! A pod's backlog is the tokens that it was sent and has not computed, and drains while it works.
//! A rate for the whole pool is learnt from the answers, so nothing here depends on model or
//! hardware.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    fleet::{Fleet, Pod, Reading},
    peer::Lru,
    router::{Arrival, Router},
    trace::{BLOCK_TOKENS, Request},
};

/// Weight of an own token against a token of the requests ahead: computing what another pod has
/// cached delays every request that comes after. From 1 to 8 the time is the same, and the hits
/// rise.
const OWN_WEIGHT: f64 = 5.0;
/// Tokens that a request in flight counts as, for the steps that its answer takes part in.
const REQUEST_TOKENS: f64 = 100.0;
/// Share of a prompt from which on a match is the same conversation and not the same system prompt.
const WARM_SHARE: f64 = 0.3;
/// Distance that a warm pod may be further behind, in prompts of the usual length: a conversation
/// that moves takes its next turns along.
const WARM_PROMPTS: f64 = 2.0;
/// Seconds of working time over which learnt figures fade.
const MEMORY: f64 = 30.0;
/// Share of the pool's rate below which a pod is believed to be slow; above, it had other prompts.
/// A rate for each pod feeds back: a pod that had short prompts looks slow, gets none, and stays
/// so.
const SLOW: f64 = 0.6;
/// Rate where nothing is learnt yet, in tokens per second (llm-d's `peakPrefillThroughput`), for a
/// second.
const FIRST_RATE: f64 = 15_928.0;
/// First number for blocks of answers, which no later request asks for.
const ANSWERS: u64 = 1 << 50;

/// A gateway with this policy.
pub(super) struct EstimatedTtft {
    pods: Vec<State>,
    sent: BTreeMap<usize, Sent>,
    /// Uncached tokens of a request, in the mean of the last hundred.
    usual: f64,
    chance: fastrand::Rng,
}

struct State {
    index: Lru,
    requests: usize,
    unanswered: usize,
    /// Uncached tokens of unanswered requests.
    tokens: f64,
    /// Uncached tokens that the pod has probably not computed yet.
    backlog: f64,
    /// Time of the backlog, in seconds.
    at: f64,
    /// Fading: seconds with unanswered requests, and the tokens of those answered.
    busy: f64,
    done: f64,
}

struct Sent {
    pod: usize,
    uncached: f64,
    blocks: Vec<u64>,
    answer: usize,
}

impl EstimatedTtft {
    pub(super) fn new(pods: &[Pod], seed: u64) -> Self {
        let state = |pod: &Pod| State {
            index: Lru::new(pod.blocks()),
            requests: 0,
            unanswered: 0,
            tokens: 0.0,
            backlog: 0.0,
            at: 0.0,
            busy: 0.0,
            done: 0.0,
        };
        Self {
            pods: pods.iter().map(state).collect(),
            sent: BTreeMap::new(),
            usual: 0.0,
            chance: fastrand::Rng::with_seed(seed),
        }
    }

    /// Returns the tokens per second of a pod.
    fn rate(&self, pod: &State) -> f64 {
        let done: f64 = self.pods.iter().map(|pod| pod.done).sum();
        let busy: f64 = self.pods.iter().map(|pod| pod.busy).sum();
        let pool = (done + FIRST_RATE) / (busy + 1.0);
        let own = (pod.done + pool) / (pod.busy + 1.0);
        if own < SLOW * pool { own } else { pool }
    }

    /// Lets all backlogs drain.
    fn drain(&mut self, now: f64) {
        let rates: Vec<f64> = self.pods.iter().map(|pod| self.rate(pod)).collect();
        for (pod, rate) in self.pods.iter_mut().zip(rates) {
            pod.drain(now, rate);
        }
    }

    /// Returns the pods to choose among, each with its backlog in seconds and the request's own
    /// uncached tokens.
    fn candidates(&self, request: &Request) -> Vec<Candidate> {
        let blocks = request.cacheable_blocks();
        let candidate = |(number, pod): (usize, &State)| {
            let matched = pod.index.matched(blocks) * BLOCK_TOKENS;
            let rate = self.rate(pod);
            Candidate {
                number,
                wait: pod.backlog / rate,
                running: REQUEST_TOKENS * pod.requests as f64,
                own: (request.prompt - matched) as f64,
                rate,
                is_warm: matched as f64 >= WARM_SHARE * request.prompt as f64,
            }
        };
        let (warm, cold): (Vec<Candidate>, Vec<Candidate>) =
            self.pods.iter().enumerate().map(candidate).partition(|it| it.is_warm);
        let least = |some: &[Candidate]| {
            some.iter().min_by(|a, b| a.wait.total_cmp(&b.wait)).map(|it| (it.wait, it.rate))
        };
        match (least(&warm), least(&cold)) {
            (Some((ahead, rate)), Some((other, _)))
                if ahead - other > WARM_PROMPTS * self.usual / rate =>
            {
                warm.into_iter().chain(cold).collect()
            }
            (Some(_), _) => warm,
            (None, _) => cold,
        }
    }
}

#[derive(Clone, Copy)]
struct Candidate {
    number: usize,
    wait: f64,
    /// Tokens that stand for the requests in flight.
    running: f64,
    own: f64,
    rate: f64,
    is_warm: bool,
}

impl State {
    fn drain(&mut self, now: f64, rate: f64) {
        let passed = now - self.at;
        if self.unanswered > 0 {
            let fade = (-passed / MEMORY).exp();
            self.busy = (self.busy + passed) * fade;
            self.done *= fade;
        }
        self.backlog = (self.backlog - rate * passed).clamp(0.0, self.tokens);
        self.at = now;
    }
}

impl Router for EstimatedTtft {
    fn scrapes_every(&self) -> Option<Duration> {
        None
    }

    fn scraped(&mut self, _now: Duration, _readings: &[Reading], _age: Duration) {}

    fn place(&mut self, now: Duration, arrival: Arrival<'_>, _fleet: &Fleet) -> usize {
        self.drain(now.as_secs_f64());
        let mut candidates = self.candidates(arrival.request);
        // Equals in random order.
        self.chance.shuffle(&mut candidates);
        let cost = |it: &Candidate| it.wait + (OWN_WEIGHT * it.own + it.running) / it.rate;
        let best = candidates.iter().min_by(|a, b| cost(a).total_cmp(&cost(b)));
        let Some(&Candidate { number, own, .. }) = best else { return 0 };
        self.usual += (own - self.usual) / 100.0;
        if let Some(pod) = self.pods.get_mut(number) {
            pod.requests += 1;
            pod.unanswered += 1;
            pod.tokens += own;
            pod.backlog += own;
            pod.index.learn(arrival.request.full_blocks());
        }
        let blocks = arrival.request.full_blocks().to_vec();
        let answer =
            (arrival.request.prompt + arrival.request.answer) / BLOCK_TOKENS - blocks.len();
        self.sent.insert(arrival.number, Sent { pod: number, uncached: own, blocks, answer });
        number
    }

    fn answered(&mut self, now: Duration, request: usize) {
        self.drain(now.as_secs_f64());
        let Some(sent) = self.sent.get(&request) else { return };
        let Some(pod) = self.pods.get_mut(sent.pod) else { return };
        pod.unanswered -= 1;
        pod.tokens -= sent.uncached;
        pod.backlog = pod.backlog.min(pod.tokens);
        pod.done += sent.uncached;
    }

    /// Learns the request's blocks, and those of its answer: the pod frees them now, which is their
    /// last use.
    fn ended(&mut self, _now: Duration, request: usize) {
        let Some(mut sent) = self.sent.remove(&request) else { return };
        let first = ANSWERS + ((request as u64) << 12);
        sent.blocks.extend((first..).take(sent.answer));
        if let Some(pod) = self.pods.get_mut(sent.pod) {
            pod.requests -= 1;
            pod.index.learn(&sent.blocks);
        }
    }
}
