//! A run: requests come, gateways hold and place them, engines serve them, in virtual time.

mod server;
mod traffic;

use std::{collections::BTreeMap, time::Duration};

use sim::engine_core::Effect;

pub(super) use server::capacity;

use super::{
    draw::{Dice, Drawn},
    figures::GateOutcome,
    gate::Gate,
    gateway::{Gateway, Order, PodPage, WORKERS},
    scenario::{Fault, GateScenario},
};
use crate::{fleet::Pod, picker::Exchange};
use server::Server;

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
#[allow(clippy::struct_excessive_bools, reason = "facts of a request, in any mix")]
struct GatedJob {
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

enum GateEvent {
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

struct GateWorld<'a> {
    scenario: &'a GateScenario,
    /// Requests a second that the pods end.
    capacity: f64,
    dice: Dice,
    now: Duration,
    events: BTreeMap<(Duration, u64), GateEvent>,
    issued: u64,
    servers: Vec<Server>,
    gateways: Vec<Gateway>,
    /// Time of each worker's next tick, so that none ticks twice.
    ticks: BTreeMap<(usize, usize), Duration>,
    jobs: Vec<GatedJob>,
    outcome: GateOutcome,
    /// True to draw interactive requests alone, at a twentieth of the capacity.
    is_idle: bool,
}

/// Runs interactive requests alone, at a twentieth of the capacity.
pub(super) fn idle(scenario: &GateScenario, capacity: f64) -> GateOutcome {
    let quiet = GateScenario {
        fault: Fault::None,
        gateways: 1,
        strangers: 0.0,
        burst: 1,
        unit: scenario.unit * 2,
        ..scenario.clone()
    };
    let mut world = GateWorld::new(&quiet, Gate::None, capacity, 5);
    world.is_idle = true;
    world.run()
}

/// Runs a scenario behind a gate.
pub(super) fn run(scenario: &GateScenario, gate: Gate, capacity: f64, seed: u64) -> GateOutcome {
    GateWorld::new(scenario, gate, capacity, seed).run()
}

impl<'a> GateWorld<'a> {
    fn new(scenario: &'a GateScenario, gate: Gate, capacity: f64, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
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
            servers: scenario.pods.iter().map(Server::new).collect(),
            gateways,
            ticks: BTreeMap::new(),
            jobs: Vec::new(),
            outcome: GateOutcome::default(),
            is_idle: false,
            dice,
        }
    }

    fn schedule(&mut self, at: Duration, event: GateEvent) {
        self.events.insert((at.max(self.now), self.issued), event);
        self.issued += 1;
    }

    fn run(mut self) -> GateOutcome {
        self.schedule(Duration::from_millis(1), GateEvent::Scrape);
        self.schedule(Duration::from_millis(120), GateEvent::Arrive);
        if self.scenario.strangers > 0.0 {
            self.schedule(Duration::from_millis(120), GateEvent::Stranger);
        }
        if matches!(self.scenario.fault, Fault::Slow | Fault::Restart) {
            let (from, until) = self.scenario.wrong;
            self.schedule(from, GateEvent::GoWrong);
            self.schedule(until, GateEvent::GoRight);
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
    fn close(mut self, end: Duration) -> GateOutcome {
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
        let effects = server.step(now);
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
                        self.schedule(now + HOP, GateEvent::First(request));
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
                    self.schedule(now + HOP, GateEvent::End { request, tokens });
                }
            }
        }
        if self.scenario.is_overload(now) {
            self.outcome.work += work.as_secs_f64();
        }
    }

    fn happen(&mut self, event: GateEvent) {
        match event {
            GateEvent::Arrive => self.arrive(),
            GateEvent::Stranger => self.stranger(),
            GateEvent::Reach { request, pod, life } => self.reach(request, pod, life),
            GateEvent::First(request) => self.begin(request),
            GateEvent::End { request, tokens } => self.end(request, tokens),
            GateEvent::Scrape => self.scrape(),
            GateEvent::Deliver { gateway, pages } => {
                if let Some(it) = self.gateways.get_mut(gateway) {
                    it.scraped(self.now, &pages);
                }
                self.obey(gateway);
            }
            GateEvent::Message { gateway, worker, message } => {
                if let Some(it) = self.gateways.get_mut(gateway) {
                    it.hear(self.now, worker, message);
                }
                self.obey(gateway);
            }
            GateEvent::Tick { gateway, worker } => self.tick(gateway, worker),
            GateEvent::GoWrong => self.go_wrong(),
            GateEvent::GoRight => self.go_right(),
        }
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
            self.schedule(now + delay, GateEvent::Deliver { gateway, pages: pages.clone() });
        }
        self.schedule(now + SCRAPES, GateEvent::Scrape);
    }

    fn tick_at(&mut self, gateway: usize, worker: usize, pause: Duration) {
        let at = self.now + pause;
        let known = self.ticks.get(&(gateway, worker)).copied();
        if known.is_none_or(|known| known <= self.now || known > at) {
            self.ticks.insert((gateway, worker), at);
            self.schedule(at, GateEvent::Tick { gateway, worker });
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
                    self.schedule(self.now + HOP, GateEvent::Reach { request, pod, life });
                }
                Order::Bring { worker, message } => {
                    self.schedule(
                        self.now + MESSAGE,
                        GateEvent::Message { gateway, worker, message },
                    );
                }
                Order::TickSoon { worker } => self.tick_at(gateway, worker, TICK),
            }
        }
    }

    fn go_wrong(&mut self) {
        let pods = &self.scenario.pods;
        let (Some(server), Some(pod)) = (self.servers.get_mut(1), pods.get(1)) else { return };
        if self.scenario.fault == Fault::Slow {
            server.engine.set_cost(pod.cost.faster(pod.speed / 4.0));
            return;
        }
        for request in server.die(pod) {
            self.lose(request);
        }
    }

    fn go_right(&mut self) {
        let pods = &self.scenario.pods;
        let (Some(server), Some(pod)) = (self.servers.get_mut(1), pods.get(1)) else { return };
        server.recover(self.now, pod.cost.faster(pod.speed));
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
