//! A run: requests come, gateways hold and place them, engines serve them, in virtual time.

use std::{collections::BTreeMap, time::Duration};

use sim::engine_core::{Chain, Effect, EngineCore, Request, RequestId};

use super::{
    draw::{Dice, Drawn},
    figures::Outcome,
    gate::Gate,
    gateway::{Ending, Gateway, Order, PodPage, WORKERS},
    scenario::{Fault, Scenario},
};
use crate::{fleet::Pod, picker::Exchange, trace::BLOCK_TOKENS};

/// Time from a step's end to the gateway, and from the gateway to the pod.
const HOP: Duration = Duration::from_millis(1);
/// Time that a message between workers takes.
const MESSAGE: Duration = Duration::from_micros(50);
/// The scraper's rhythm.
const SCRAPES: Duration = Duration::from_millis(50);
/// A worker's pace with requests that wait, and without.
const TICK: Duration = Duration::from_millis(20);
const IDLE_TICK: Duration = Duration::from_secs(1);

/// A request on its way.
#[derive(Clone, Copy, Debug)]
struct Job {
    drawn: Drawn,
    /// Time of arrival at the gateway; the end of the world for one that counts no more.
    arrived: Duration,
    gateway: usize,
    worker: usize,
    pod: Option<usize>,
    first: Option<Duration>,
    is_over: bool,
    /// True for a request that comes past the gateways.
    is_strange: bool,
    /// True once its first token has counted.
    has_counted: bool,
}

enum Event {
    Arrive,
    Stranger,
    Reach { request: u32, pod: usize, life: u64 },
    First(u32),
    End { request: u32, tokens: usize },
    Scrape,
    Deliver { gateway: usize, pages: Vec<PodPage> },
    Message { gateway: usize, worker: usize, message: picker_core::workers::Message },
    Tick { gateway: usize, worker: usize },
    GoWrong,
    GoRight,
}

struct Server {
    engine: EngineCore,
    life: u64,
    began: Duration,
    is_up: bool,
    /// Requests in the engine by its ids.
    jobs: BTreeMap<u64, u32>,
    issued: u64,
    preempted: u64,
    /// Requests that came during the step: vLLM takes them in at its end, and its gauges of the step's end do
    /// not count them. The simulated engine's own count them as waiting.
    fresh: usize,
    /// Gauges of the last step's end: running, waiting, use of the cache.
    gauges: (usize, usize, f64),
    page: Option<(Duration, usize, usize, f64)>,
}

struct World<'a> {
    scenario: &'a Scenario,
    /// Requests a second that the pods end.
    capacity: f64,
    dice: Dice,
    now: Duration,
    events: BTreeMap<(Duration, u64), Event>,
    issued: u64,
    servers: Vec<Server>,
    gateways: Vec<Gateway>,
    /// Time of each worker's next tick, so that none ticks twice.
    ticks: BTreeMap<(usize, usize), Duration>,
    jobs: Vec<Job>,
    outcome: Outcome,
    /// True to draw interactive requests alone, at a twentieth of the capacity.
    is_idle: bool,
}

/// Returns the requests that a scenario's pods end a second when they never lack work.
pub(super) fn capacity(scenario: &Scenario) -> f64 {
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

/// Runs interactive requests alone, at a twentieth of the capacity.
pub(super) fn idle(scenario: &Scenario, capacity: f64) -> Outcome {
    let quiet = Scenario {
        fault: Fault::None,
        gateways: 1,
        strangers: 0.0,
        burst: 1,
        unit: scenario.unit * 2,
        ..scenario.clone()
    };
    let mut world = World::new(&quiet, Gate::None, capacity, 5);
    world.is_idle = true;
    world.run()
}

/// Runs a scenario behind a gate.
pub(super) fn run(scenario: &Scenario, gate: Gate, capacity: f64, seed: u64) -> Outcome {
    World::new(scenario, gate, capacity, seed).run()
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

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario, gate: Gate, capacity: f64, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let server = |pod: &Pod| Server {
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
        };
        let exchange = (scenario.gateways > 1).then(|| Exchange::new(scenario.gateways));
        let gateway = |number: usize| {
            let gateway = Gateway::new(gate, &scenario.pods, dice.seed());
            match &exchange {
                Some(exchange) => gateway.exchanging(exchange, number),
                None => gateway,
            }
        };
        let gateways = (0..scenario.gateways).map(gateway).collect();
        Self {
            scenario,
            capacity,
            now: Duration::ZERO,
            events: BTreeMap::new(),
            issued: 0,
            servers: scenario.pods.iter().map(server).collect(),
            gateways,
            ticks: BTreeMap::new(),
            jobs: Vec::new(),
            outcome: Outcome::default(),
            is_idle: false,
            dice,
        }
    }

    fn schedule(&mut self, at: Duration, event: Event) {
        self.events.insert((at.max(self.now), self.issued), event);
        self.issued += 1;
    }

    fn run(mut self) -> Outcome {
        self.schedule(Duration::from_millis(1), Event::Scrape);
        self.schedule(Duration::from_millis(120), Event::Arrive);
        if self.scenario.strangers > 0.0 {
            self.schedule(Duration::from_millis(120), Event::Stranger);
        }
        if matches!(self.scenario.fault, Fault::Slow | Fault::Restart) {
            let (from, until) = self.scenario.wrong;
            self.schedule(from, Event::GoWrong);
            self.schedule(until, Event::GoRight);
        }
        for gateway in 0..self.gateways.len() {
            for worker in 0..WORKERS {
                self.tick_at(gateway, worker, IDLE_TICK);
            }
        }
        let end = self.scenario.end();
        loop {
            let step = self.servers.iter().enumerate();
            let step =
                step.filter_map(|(pod, it)| it.is_up.then_some((it.engine.due()?, pod))).min();
            let event = self.events.first_key_value().map(|((at, _), _)| *at);
            match (step, event) {
                (Some((at, pod)), event) if event.is_none_or(|event| at <= event) => {
                    if at > end {
                        break;
                    }
                    self.now = at;
                    self.step(pod);
                }
                (_, Some(at)) if at <= end => {
                    self.now = at;
                    if let Some((_, event)) = self.events.pop_first() {
                        self.happen(event);
                    }
                }
                _ => break,
            }
        }
        self.close(end)
    }

    /// Counts the requests that have no first token yet with the time that they have waited.
    fn close(mut self, end: Duration) -> Outcome {
        for job in &self.jobs {
            if job.drawn.is_interactive && !job.is_strange && !job.has_counted {
                self.outcome.ttfts.push(millis(end.saturating_sub(job.arrived)));
            }
        }
        self.outcome.preempted = self.servers.iter().map(Server::preempted).sum();
        self.outcome
    }

    /// Ends a pod's step, and begins its next one.
    fn step(&mut self, pod: usize) {
        let now = self.now;
        let Some(server) = self.servers.get_mut(pod) else { return };
        let mut effects = Vec::new();
        server.engine.advance(now, &mut effects);
        let shown = &server.engine.meter().gauges;
        let fresh = std::mem::take(&mut server.fresh);
        server.gauges = (shown.running, shown.waiting.saturating_sub(fresh), shown.kv_usage());
        let (running, waiting) = server.engine.in_flight();
        if let Some(until) = server.engine.due() {
            let seconds = until.saturating_sub(now).as_secs_f64();
            *self.outcome.waiting.entry(waiting).or_insert(0.0) += seconds;
        }
        let places = self.scenario.pods.get(pod).map_or(0, |pod| pod.max_running);
        self.outcome.over = self.outcome.over.max((running + waiting).saturating_sub(places));
        for effect in effects {
            self.take(pod, &effect);
        }
    }

    fn take(&mut self, pod: usize, effect: &Effect) {
        let (Effect::Token { id, .. } | Effect::End(id, ..)) = effect;
        let Some(server) = self.servers.get_mut(pod) else { return };
        let Some(request) = server.jobs.get(&id.0).copied() else { return };
        let Some(job) = self.jobs.get_mut(request as usize) else { return };
        let cost = self.scenario.pods.get(pod).map_or(Pod::H100, |pod| *pod);
        let now = self.now;
        let mut work = Duration::ZERO;
        match effect {
            Effect::Token { .. } => {
                // A token costs its part of a full step, a prompt what it adds to one.
                work += cost.cost.decode
                    + cost.cost.step / u32::try_from(cost.max_running).unwrap_or(1);
                if job.first.is_none() {
                    job.first = Some(now);
                    work += cost.cost.prefill_token * u32::try_from(job.drawn.prompt).unwrap_or(0);
                    if !job.is_strange {
                        self.schedule(now + HOP, Event::First(request));
                    }
                }
            }
            Effect::End(_, _, usage) => {
                let tokens = usage.generated;
                server.jobs.remove(&id.0);
                self.outcome.ended += 1;
                if job.is_strange {
                    job.is_over = true;
                } else {
                    self.schedule(now + HOP, Event::End { request, tokens });
                }
            }
        }
        if self.scenario.is_overload(now) {
            self.outcome.work += work.as_secs_f64();
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive => self.arrive(),
            Event::Stranger => self.stranger(),
            Event::Reach { request, pod, life } => self.reach(request, pod, life),
            Event::First(request) => self.begin(request),
            Event::End { request, tokens } => self.end(request, tokens),
            Event::Scrape => self.scrape(),
            Event::Deliver { gateway, pages } => {
                if let Some(it) = self.gateways.get_mut(gateway) {
                    it.scraped(self.now, &pages);
                }
                self.obey(gateway);
            }
            Event::Message { gateway, worker, message } => {
                if let Some(it) = self.gateways.get_mut(gateway) {
                    it.hear(self.now, worker, message);
                }
                self.obey(gateway);
            }
            Event::Tick { gateway, worker } => self.tick(gateway, worker),
            Event::GoWrong => self.go_wrong(),
            Event::GoRight => self.go_right(),
        }
    }

    fn arrive(&mut self) {
        let Some(load) = self.scenario.load(self.now) else { return };
        let rate = if self.is_idle {
            let drawn = self.dice.interactive(self.scenario);
            self.admit(drawn);
            0.05 * self.capacity
        } else {
            let drawn = self.dice.request(self.scenario);
            let burst = self.scenario.burst;
            if drawn.is_interactive && burst > 1 {
                // One in so many comes as that many at once.
                let count = if self.dice.below(burst) == 0 { burst } else { 0 };
                for _ in 0..count {
                    let drawn = self.dice.interactive(self.scenario);
                    self.admit(drawn);
                }
            } else {
                self.admit(drawn);
            }
            load * (1.0 - self.scenario.strangers) * self.capacity
        };
        let pause = self.dice.pause(rate);
        self.schedule(self.now + pause, Event::Arrive);
    }

    /// Brings a request to a gateway: to the first most often, as load balancers do.
    fn admit(&mut self, drawn: Drawn) {
        let gateways = self.gateways.len();
        let share = self.dice.share();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a few gateways"
        )]
        let gateway = (share * share * gateways as f64) as usize;
        let worker = self.dice.below(WORKERS);
        let job = Job {
            drawn,
            arrived: self.now,
            gateway: gateway.min(gateways.saturating_sub(1)),
            worker,
            pod: None,
            first: None,
            is_over: false,
            is_strange: false,
            has_counted: false,
        };
        self.enter(job);
    }

    fn enter(&mut self, job: Job) {
        let request = u32::try_from(self.jobs.len()).unwrap_or(u32::MAX);
        self.jobs.push(job);
        if let Some(gateway) = self.gateways.get_mut(job.gateway) {
            gateway.arrive(self.now, job.worker, request, job.drawn);
        }
        self.obey(job.gateway);
    }

    /// Sends a request to some pod, past the gateways.
    fn stranger(&mut self) {
        let Some(load) = self.scenario.load(self.now) else { return };
        let drawn = self.dice.request(self.scenario);
        let pod = self.dice.below(self.servers.len());
        let request = u32::try_from(self.jobs.len()).unwrap_or(u32::MAX);
        self.jobs.push(Job {
            drawn,
            arrived: self.now,
            gateway: 0,
            worker: 0,
            pod: Some(pod),
            first: None,
            is_over: false,
            is_strange: true,
            has_counted: true,
        });
        let life = self.servers.get(pod).map_or(0, |server| server.life);
        self.schedule(self.now + HOP, Event::Reach { request, pod, life });
        let rate = self.scenario.strangers * load.min(0.9) * self.capacity;
        let pause = self.dice.pause(rate);
        self.schedule(self.now + pause, Event::Stranger);
    }

    fn reach(&mut self, request: u32, pod: usize, life: u64) {
        let Some(job) = self.jobs.get(request as usize).copied() else { return };
        let Some(server) = self.servers.get_mut(pod) else { return };
        if !server.is_up || server.life != life {
            self.lose(request);
            return;
        }
        let id = server.issued;
        server.issued += 1;
        server.jobs.insert(id, request);
        let is_asleep = server.engine.due().is_none();
        server.fresh += usize::from(!is_asleep);
        let mut effects = Vec::new();
        server.engine.arrive(
            self.now,
            RequestId(id),
            order(job.drawn, request.into()),
            &mut effects,
        );
        debug_assert!(effects.is_empty() || !is_asleep, "an idle engine has nothing to end");
        for effect in effects {
            self.take(pod, &effect);
        }
    }

    /// Tells the gateway that a request's pod is gone. The client asks again at once; a request that had
    /// begun to be answered counts its time to the first token no more.
    fn lose(&mut self, request: u32) {
        let Some(job) = self.jobs.get_mut(request as usize) else { return };
        if job.is_over {
            return;
        }
        job.is_over = true;
        let lost = *job;
        job.has_counted = true;
        if lost.is_strange {
            return;
        }
        if let Some(gateway) = self.gateways.get_mut(lost.gateway) {
            gateway.lose(self.now, lost.worker, request, lost.first.is_some());
        }
        self.obey(lost.gateway);
        self.enter(Job { pod: None, first: None, is_over: false, ..lost });
    }

    fn begin(&mut self, request: u32) {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(request as usize) else { return };
        if job.is_over {
            return;
        }
        if job.drawn.is_interactive && !job.has_counted {
            self.outcome.ttfts.push(millis(now.saturating_sub(job.arrived)));
        }
        job.has_counted = true;
        let (gateway, worker) = (job.gateway, job.worker);
        if let Some(it) = self.gateways.get_mut(gateway) {
            it.begin(now, worker, request);
        }
        self.obey(gateway);
    }

    fn end(&mut self, request: u32, tokens: usize) {
        let Some(job) = self.jobs.get_mut(request as usize) else { return };
        if std::mem::replace(&mut job.is_over, true) {
            return;
        }
        let job = *job;
        let further = u32::try_from(tokens.saturating_sub(1)).unwrap_or(u32::MAX);
        let took = job.first.map(|first| (self.now - HOP).saturating_sub(first));
        let step = took.filter(|_| further > 0).map(|took| took / further);
        let ending = Ending { request, tokens: (job.drawn.prompt, tokens), step };
        if let Some(gateway) = self.gateways.get_mut(job.gateway) {
            gateway.end(self.now, job.worker, ending);
        }
        self.obey(job.gateway);
    }

    /// Reads the pages of all pods that are up, and sends them to every gateway.
    fn scrape(&mut self) {
        let now = self.now;
        for server in self.servers.iter_mut().filter(|server| server.is_up) {
            if !self.scenario.is_blind(now) {
                let (running, waiting, kv) = server.gauges;
                server.page = Some((now, running, waiting, kv));
            }
        }
        let page = |server: &Server| PodPage {
            at: server.page.map_or(now, |(at, ..)| at),
            numbers: server.page.map(|(_, running, waiting, kv)| (running, waiting, kv)),
            is_up: server.is_up,
            began: server.began,
        };
        let pages: Vec<PodPage> = self.servers.iter().map(page).collect();
        let delay = self.dice.between(self.scenario.delay);
        for gateway in 0..self.gateways.len() {
            self.schedule(now + delay, Event::Deliver { gateway, pages: pages.clone() });
        }
        self.schedule(now + SCRAPES, Event::Scrape);
    }

    fn tick_at(&mut self, gateway: usize, worker: usize, pause: Duration) {
        let at = self.now + pause;
        let known = self.ticks.get(&(gateway, worker)).copied();
        if known.is_none_or(|known| known <= self.now || known > at) {
            self.ticks.insert((gateway, worker), at);
            self.schedule(at, Event::Tick { gateway, worker });
        }
    }

    fn tick(&mut self, gateway: usize, worker: usize) {
        // Overtaken by a quicker pace.
        if self.ticks.get(&(gateway, worker)) != Some(&self.now) {
            return;
        }
        let Some(it) = self.gateways.get_mut(gateway) else { return };
        it.tick(self.now, worker);
        let pause = if it.is_busy(worker) { TICK } else { IDLE_TICK };
        self.ticks.remove(&(gateway, worker));
        self.tick_at(gateway, worker, pause);
        self.obey(gateway);
    }

    /// Does what a gateway wants done.
    fn obey(&mut self, gateway: usize) {
        let orders = self.gateways.get_mut(gateway).map(Gateway::orders).unwrap_or_default();
        for order in orders {
            match order {
                Order::Place { request, pod } => {
                    if let Some(job) = self.jobs.get_mut(request as usize) {
                        job.pod = Some(pod);
                    }
                    let life = self.servers.get(pod).map_or(0, |server| server.life);
                    self.schedule(self.now + HOP, Event::Reach { request, pod, life });
                }
                Order::Bring { worker, message } => {
                    self.schedule(self.now + MESSAGE, Event::Message { gateway, worker, message });
                }
                Order::TickSoon { worker } => self.tick_at(gateway, worker, TICK),
            }
        }
    }

    fn go_wrong(&mut self) {
        let (now, pods) = (self.now, &self.scenario.pods);
        let (Some(server), Some(pod)) = (self.servers.get_mut(1), pods.get(1)) else { return };
        if self.scenario.fault == Fault::Slow {
            server.engine.set_cost(pod.cost.faster(pod.speed / 4.0));
            return;
        }
        server.is_up = false;
        server.preempted += server.engine.meter().preemptions;
        server.engine = pod.engine();
        server.page = None;
        (server.fresh, server.gauges) = (0, (0, 0, 0.0));
        server.life += 1;
        server.began = now;
        for request in std::mem::take(&mut server.jobs).into_values() {
            self.lose(request);
        }
    }

    fn go_right(&mut self) {
        let (now, pods) = (self.now, &self.scenario.pods);
        let (Some(server), Some(pod)) = (self.servers.get_mut(1), pods.get(1)) else { return };
        server.engine.set_cost(pod.cost.faster(pod.speed));
        if !server.is_up {
            server.is_up = true;
            server.began = now;
        }
    }
}

impl Server {
    fn preempted(&self) -> u64 {
        self.preempted + self.engine.meter().preemptions
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
