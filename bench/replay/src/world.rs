//! The replay: requests come, gateways place them, pods serve them.
//!
//! Everything happens at a moment of virtual time, in an order that depends on the trace and the
//! seed alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sim::engine_core::{Effect, RequestId};

use crate::{
    fleet::{Fleet, Job, Pod, Reading, Stage},
    router::{Arrival, Route, Router, Usage},
    trace::{FollowUp, Trace},
};

/// Time between two requests that a trace has at the same moment: about what a body of 50 kB takes
/// to come in. Without it, a gateway would decide on several before it has heard of the first.
const APART: Duration = Duration::from_micros(100);

/// Time from the end of a step until the gateway sees the token, and from the gateway to the pod.
const HOP: Duration = Duration::from_micros(500);

/// Time from a request's arrival in its pod to the headers of the answer: a stream of a real vLLM
/// waits for nothing but the reading of the prompt, neither for a place in the batch nor for a token.
const HEADERS_AFTER: Duration = Duration::from_millis(4);

/// Time to move the keys and values of one prompt token from pod to pod: a quarter of a megabyte, as
/// a model of 64 layers with eight KV heads has, over a network of 25 GB/s.
const TOKEN_TRANSFER: Duration = Duration::from_micros(10);

/// A trace with the chains of its prompts, one a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic<'a> {
    pub(crate) trace: &'a Trace,
    pub(crate) chains: &'a [picker_core::Chain],
    /// Bytes of text in one token.
    pub(crate) token_bytes: usize,
}

/// The circumstances of a policy.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// Pods behind the gateways.
    pub(crate) pods: Vec<Pod>,
    /// Age of the metrics when they come.
    pub(crate) metrics_age: Duration,
    /// Time between two readings of the metrics, where that is not the router's own rhythm.
    pub(crate) scrapes_every: Option<Duration>,
    /// Time from which on no metrics come any more.
    pub(crate) scraper_dies: Option<Duration>,
}

/// Fate of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Served {
    /// Time at which the client sent it; `None` if it never did.
    pub(crate) due: Option<Duration>,
    /// Number of the pod.
    pub(crate) pod: usize,
    /// Time of the first token.
    pub(crate) first: Option<Duration>,
    /// Time of the last token.
    pub(crate) last: Option<Duration>,
    /// Number of tokens.
    pub(crate) tokens: usize,
    /// Number of prompt tokens that the pod took from its cache.
    pub(crate) cached: usize,
    /// Number of ends: one, if nothing is wrong.
    pub(crate) ends: usize,
}

/// Fate of all requests.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Requests, in the trace's order.
    pub(crate) served: Vec<Served>,
    /// Prompt tokens computed, by pod.
    pub(crate) computed: Vec<u64>,
}

/// Replays a trace to its end, over gateways that take turns at random.
pub(crate) fn replay(
    traffic: Traffic<'_>,
    setting: &Setting,
    gateways: &mut [Box<dyn Router>],
    seed: u64,
) -> Outcome {
    let Traffic { trace, chains, token_bytes } = traffic;
    let mut world = World {
        trace,
        chains,
        token_bytes,
        setting,
        fleet: Fleet::new(&setting.pods),
        served: vec![Served::default(); trace.requests.len()],
        at: vec![0; trace.requests.len()],
        events: BTreeMap::new(),
        issued: 0,
        open: 0,
        jobs: Vec::new(),
    };
    let mut chance = fastrand::Rng::with_seed(seed);
    world.begin(&mut chance, gateways.len());
    let mut shared = None;
    for (number, gateway) in gateways.iter().enumerate() {
        let every = gateway.scrapes_every().map(|own| setting.scrapes_every.unwrap_or(own));
        if let Some(every) = every {
            // Gateways that start at different moments scrape at different moments.
            let own = every.mul_f64(chance.f64());
            let first = if gateway.shares_scraper() { *shared.get_or_insert(own) } else { own };
            world.schedule(first, Event::Scrape { gateway: number, every });
        }
    }
    world.run(gateways);
    Outcome { computed: world.fleet.computed(), served: world.served }
}

enum Event {
    Arrive(usize),
    /// A request reaches the pod that it was placed on.
    Reach {
        number: usize,
        pod: usize,
        stage: Stage,
    },
    Scrape {
        gateway: usize,
        every: Duration,
    },
    Read {
        gateway: usize,
        readings: Vec<Reading>,
        /// Time for which they waited for the gateway's turn.
        turn: Duration,
    },
    Headers(usize),
    Answered(usize),
    Ended(usize),
}

struct World<'a> {
    trace: &'a Trace,
    chains: &'a [picker_core::Chain],
    token_bytes: usize,
    setting: &'a Setting,
    fleet: Fleet,
    served: Vec<Served>,
    /// Gateway of each request.
    at: Vec<usize>,
    events: BTreeMap<(Duration, u64), Event>,
    issued: u64,
    /// Number of requests that are sent, or will be at a known time, and are not over.
    open: usize,
    /// Requests and their stages in the order of their arrival in pods, by the engines' ids: an engine
    /// wants ids that grow.
    jobs: Vec<(usize, Stage)>,
}

impl World<'_> {
    /// Schedules the requests that have times of their own, and gives every request its gateway.
    fn begin(&mut self, chance: &mut fastrand::Rng, gateways: usize) {
        let trace = self.trace;
        let follow_ups = trace.follow_ups.values().flatten();
        let follows: BTreeSet<usize> = follow_ups.map(|it| it.request).collect();
        let mut last = None;
        for (number, request) in trace.requests.iter().enumerate() {
            if let Some(gateway) = self.at.get_mut(number) {
                *gateway = chance.usize(..gateways);
            }
            if follows.contains(&number) {
                continue;
            }
            let at = last.map_or(request.at, |last| request.at.max(last + APART));
            last = Some(at);
            self.send(number, request.at, at);
        }
    }

    /// Has a request sent at `due`, which comes to its gateway at `at`.
    fn send(&mut self, number: usize, due: Duration, at: Duration) {
        if let Some(served) = self.served.get_mut(number) {
            served.due = Some(due);
            self.open += 1;
            self.schedule(at, Event::Arrive(number));
        }
    }

    /// Has the client of a request that ended send what follows it, until the time is over.
    fn follow_up(&mut self, now: Duration, number: usize) {
        let Some(follow_ups) = self.trace.follow_ups.get(&number) else { return };
        for (&FollowUp { request, pause }, before) in follow_ups.iter().zip(0..) {
            let due = now + pause;
            if self.trace.window.is_none_or(|window| due < window.until) {
                self.send(request, due, due + APART * before);
            }
        }
    }

    fn schedule(&mut self, at: Duration, event: Event) {
        self.events.insert((at, self.issued), event);
        self.issued += 1;
    }

    fn run(&mut self, gateways: &mut [Box<dyn Router>]) {
        while self.open > 0 {
            let next = self.events.first_key_value().map(|((at, _), _)| *at);
            match self.fleet.due() {
                Some((due, pod)) if next.is_none_or(|next| due <= next) => {
                    let effects = self.fleet.advance(due, pod).to_vec();
                    self.tell(due, &effects);
                }
                _ => {
                    let Some(((now, _), event)) = self.events.pop_first() else { return };
                    self.happen(now, event, gateways);
                }
            }
        }
    }

    fn happen(&mut self, now: Duration, event: Event, gateways: &mut [Box<dyn Router>]) {
        match event {
            Event::Arrive(number) => self.place(now, number, gateways),
            Event::Reach { number, pod, stage } => self.reach(now, pod, (number, stage)),
            Event::Scrape { gateway, every } => {
                let alive = self.setting.scraper_dies.is_none_or(|dies| now < dies);
                if alive {
                    let readings = self.fleet.readings();
                    let turn = turn(gateway, gateways, every);
                    self.schedule(
                        now + self.setting.metrics_age + turn,
                        Event::Read { gateway, readings, turn },
                    );
                    self.schedule(now + every, Event::Scrape { gateway, every });
                }
            }
            Event::Read { gateway, readings, turn } => {
                if let Some(gateway) = gateways.get_mut(gateway) {
                    gateway.scraped(now, &readings, self.setting.metrics_age + turn);
                }
            }
            Event::Headers(number) => {
                if let Some(gateway) = self.at.get(number).and_then(|it| gateways.get_mut(*it)) {
                    gateway.headers(now, number);
                }
            }
            Event::Answered(number) => {
                if let Some(gateway) = self.at.get(number).and_then(|it| gateways.get_mut(*it)) {
                    gateway.answered(now, number);
                }
            }
            Event::Ended(number) => {
                self.open -= 1;
                let asked = self.trace.requests.get(number);
                let (prompt, output) = asked.map_or((0, 0), |it| (it.prompt, it.answer));
                let cached = self.served.get(number).map_or(0, |it| it.cached);
                if let Some(gateway) = self.at.get(number).and_then(|it| gateways.get_mut(*it)) {
                    gateway.ended(now, number, Usage { prompt, cached, output });
                }
                self.follow_up(now, number);
            }
        }
    }

    fn place(&mut self, now: Duration, number: usize, gateways: &mut [Box<dyn Router>]) {
        let (Some(request), Some(chain)) =
            (self.trace.requests.get(number), self.chains.get(number))
        else {
            return;
        };
        let Some(gateway) = self.at.get(number).and_then(|it| gateways.get_mut(*it)) else {
            return;
        };
        let arrival = Arrival { number, request, chain, token_bytes: self.token_bytes };
        let Route { pod, prefill } = gateway.place(now, arrival, &self.fleet);
        if let Some(served) = self.served.get_mut(number) {
            served.pod = pod;
        }
        let (pod, stage) = prefill.map_or((pod, Stage::Whole), |prefill| (prefill, Stage::Prefill));
        self.schedule(now + HOP, Event::Reach { number, pod, stage });
    }

    fn reach(&mut self, now: Duration, pod: usize, job: (usize, Stage)) {
        let (number, stage) = job;
        let Some(request) = self.trace.requests.get(number) else { return };
        let id = RequestId(self.jobs.len() as u64);
        self.jobs.push(job);
        let effects = self.fleet.arrive(now, pod, Job { id, number, request, stage }).to_vec();
        self.tell(now, &effects);
        // The answering pod's headers: a prompt that is computed apart has none before.
        if stage != Stage::Prefill {
            self.schedule(now + HEADERS_AFTER, Event::Headers(number));
        }
    }

    /// Sends a prompt that is computed on to the pod that answers.
    fn hand_over(&mut self, now: Duration, number: usize, cached: usize) {
        let Some(request) = self.trace.requests.get(number) else { return };
        let Some(served) = self.served.get_mut(number) else { return };
        served.cached = cached;
        let pod = served.pod;
        let takes = TOKEN_TRANSFER * u32::try_from(request.prompt).unwrap_or(u32::MAX);
        self.schedule(now + HOP + takes, Event::Reach { number, pod, stage: Stage::Decode });
    }

    /// Notes what a pod's step brought, and lets the gateways hear of it.
    fn tell(&mut self, now: Duration, effects: &[Effect]) {
        for effect in effects {
            let (Effect::Token { id, .. } | Effect::End(id, ..)) = effect;
            let RequestId(id) = *id;
            let job = usize::try_from(id).ok().and_then(|id| self.jobs.get(id)).copied();
            let Some((number, stage)) = job else { continue };
            let Some(served) = self.served.get_mut(number) else { continue };
            match effect {
                Effect::Token { .. } if stage == Stage::Prefill => (),
                Effect::End(_, _, usage) if stage == Stage::Prefill => {
                    self.hand_over(now, number, usage.cached);
                }
                Effect::Token { .. } => {
                    served.tokens += 1;
                    served.last = Some(now);
                    if served.first.is_none() {
                        served.first = Some(now);
                        self.schedule(now + HOP, Event::Answered(number));
                    }
                }
                Effect::End(_, _, usage) => {
                    if stage == Stage::Whole {
                        served.cached = usage.cached;
                    }
                    served.ends += 1;
                    self.schedule(now + HOP, Event::Ended(number));
                }
            }
        }
    }
}

/// Returns the time after a scrape at which a gateway is told of it: those of an exchange take turns, as the scraper
/// has them.
fn turn(gateway: usize, gateways: &[Box<dyn Router>], every: Duration) -> Duration {
    let shares = gateways.get(gateway).is_some_and(|it| it.shares_scraper());
    let part = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    if shares { every * part(gateway) / part(gateways.len()).max(1) } else { Duration::ZERO }
}
