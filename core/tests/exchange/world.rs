//! Gateways, a scraper, clients and pods, millisecond by millisecond.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use picker_core::{
    Instant,
    exchange::{GATEWAYS_MAX, GatewayId},
    flow::Priority,
};

use crate::{
    chance::Chance,
    faults::{Faults, happens},
    gateway::{Answer, Gateway, HIGH, LOW},
    load::Load,
    scraper::{Message, Scraper},
};

/// The scraper's rhythm.
const PUSH_EVERY_MS: u64 = 50;

/// Time after which a pod has given up the requests of a gateway that died.
const ABORTS_AFTER_MS: u64 = 300;

/// A request that waits or runs.
struct Request {
    gateway: usize,
    priority: Priority,
    arrived: u64,
}

pub(crate) struct World {
    seed: u64,
    now: u64,
    chance: Chance,
    load: Load,
    faults: Faults,
    /// By address.
    gateways: BTreeMap<usize, Gateway>,
    scrapers: Vec<Scraper>,
    /// Time at which the next scraper starts, while there is none; and at which an old one ends.
    next_scraper: Option<u64>,
    old_ends: u64,
    epochs: u64,
    mail: BTreeMap<(u64, u64), Message>,
    mailed: u64,
    requests: BTreeMap<u32, Request>,
    answered: BTreeSet<u32>,
    /// Requests in pods' slots by their ends.
    running: BTreeSet<(u64, u32)>,
    /// Requests in pods that wait for a slot.
    queue: VecDeque<u32>,
    issued: u32,
    next_arrival: f64,
    started: usize,
    is_calm: bool,
    tally: Tally,
}

#[derive(Default)]
struct Tally {
    ms: u64,
    busy: f64,
    sent: u64,
    low_before_high: u64,
    high_waits: Vec<u64>,
}

/// The figures of a world.
#[derive(Debug)]
pub(crate) struct Figures {
    /// Share of the places that are in use.
    pub(crate) busy: f64,
    /// Share of all dispatches that are low while a high one waits at another gateway.
    pub(crate) low_before_high: f64,
    /// Seconds that the high band waits at its 99th percentile.
    pub(crate) high_p99: f64,
}

impl Figures {
    pub(crate) fn mean(all: &[Self]) -> Self {
        let mean = |of: fn(&Self) -> f64| all.iter().map(of).sum::<f64>() / all.len() as f64;
        Self {
            busy: mean(|it| it.busy),
            low_before_high: mean(|it| it.low_before_high),
            high_p99: mean(|it| it.high_p99),
        }
    }
}

impl World {
    pub(crate) fn new(seed: u64, load: Load, faults: Faults) -> Self {
        let mut world = Self {
            seed,
            now: 1_000_000,
            chance: Chance::new(seed),
            next_arrival: 1_000_000.0,
            faults,
            gateways: BTreeMap::new(),
            scrapers: vec![Scraper::new(1)],
            next_scraper: None,
            old_ends: u64::MAX,
            epochs: 1,
            mail: BTreeMap::new(),
            mailed: 0,
            requests: BTreeMap::new(),
            answered: BTreeSet::new(),
            running: BTreeSet::new(),
            queue: VecDeque::new(),
            issued: 0,
            started: 0,
            is_calm: false,
            tally: Tally::default(),
            load,
        };
        (0..world.load.gateways).for_each(|_| world.start());
        world
    }

    fn instant(&self) -> Instant {
        Instant::from_nanos(self.now * 1_000_000)
    }

    fn start(&mut self) {
        self.started += 1;
        let id = GatewayId(1_000 * self.seed + self.started as u64);
        self.gateways.insert(self.started, Gateway::new(id, &self.load, self.instant()));
    }

    pub(crate) fn live(&mut self, ms: u64) {
        (0..ms).for_each(|_| self.millisecond());
    }

    fn millisecond(&mut self) {
        self.now += 1;
        let now = self.instant();
        self.fail();
        while self.next_arrival <= self.now as f64 {
            self.next_arrival += self.chance.exponential(self.load.every_ms());
            self.arrive();
        }
        while let Some((end, request)) = self.running.first().copied().filter(|it| it.0 <= self.now)
        {
            self.running.remove(&(end, request));
            self.end(request);
            self.fill_slots();
        }
        if self.now.is_multiple_of(PUSH_EVERY_MS) {
            self.push();
        }
        self.deliver();
        for address in self.gateways.keys().copied().collect::<Vec<_>>() {
            let answers = self.gateways.get_mut(&address).unwrap().work(now);
            self.take(address, answers);
        }
        self.check();
    }

    fn check(&mut self) {
        let limit = self.load.limit();
        let running = self.running.len() + self.queue.len();
        let gateways: Vec<String> = self.gateways.values().map(Gateway::place).collect();
        assert!(
            running <= limit,
            "seed {}, {} ms: {running} of {limit}: {gateways:#?}, {:?}, {:?}",
            self.seed,
            self.now,
            self.load,
            self.faults
        );
        if self.is_settled() {
            self.tally.ms += 1;
            self.tally.busy += self.running.len() as f64 / self.load.slots() as f64;
        }
    }

    /// True once the queues have filled.
    fn is_settled(&self) -> bool {
        self.now > 1_010_000
    }

    fn fail(&mut self) {
        if self.is_calm {
            return;
        }
        if happens(&mut self.chance, self.faults.scraper_dies) && self.next_scraper.is_none() {
            // One that is merely cut off from Kubernetes goes on beside its successor.
            if self.chance.one_in(2) {
                self.scrapers.clear();
            }
            self.old_ends = self.now + 3_000;
            self.next_scraper = Some(self.now + self.chance.below(8_000));
        }
        if happens(&mut self.chance, self.faults.gateway_starts)
            && self.gateways.len() < GATEWAYS_MAX
        {
            self.start();
        }
        if happens(&mut self.chance, self.faults.gateway_dies) && self.gateways.len() > 1 {
            let addresses: Vec<usize> = self.gateways.keys().copied().collect();
            let address = addresses[self.chance.below(addresses.len() as u64) as usize];
            self.die(address);
        }
    }

    fn die(&mut self, address: usize) {
        self.gateways.remove(&address);
        // Its clients' connections end with it, and pods give up what it had sent.
        let gone = |request: &Request| request.gateway == address;
        let ends = self.now + ABORTS_AFTER_MS;
        let running = std::mem::take(&mut self.running).into_iter();
        self.running = running
            .map(|(end, id)| {
                let is_gone = self.requests.get(&id).is_some_and(gone);
                (if is_gone { end.min(ends) } else { end }, id)
            })
            .collect();
        let running = self.running.iter().map(|(_, id)| *id).chain(self.queue.iter().copied());
        let running: BTreeSet<u32> = running.collect();
        self.requests.retain(|id, request| running.contains(id) || !gone(request));
    }

    fn arrive(&mut self) {
        let ready: Vec<usize> =
            self.gateways.iter().filter(|it| it.1.is_ready).map(|it| *it.0).collect();
        if ready.is_empty() {
            return;
        }
        // Skewed: the first of all gets most.
        let place = (self.chance.share() * self.chance.share() * ready.len() as f64) as usize;
        let address = ready[place];
        let priority = if self.chance.share() < self.load.high { HIGH } else { LOW };
        self.issued += 1;
        let (id, arrived, now) = (self.issued, self.now, self.instant());
        self.requests.insert(id, Request { gateway: address, priority, arrived });
        let ttl = Duration::from_millis(self.load.ttl_ms);
        let gateway = self.gateways.get_mut(&address).unwrap();
        let answers = gateway.arrive(now, id, priority, ttl);
        self.take(address, answers);
    }

    fn end(&mut self, request: u32) {
        let Some(Request { gateway, .. }) = self.requests.remove(&request) else { return };
        let now = self.instant();
        let Some(it) = self.gateways.get_mut(&gateway) else { return };
        let answers = it.end(now, request);
        self.take(gateway, answers);
    }

    fn take(&mut self, address: usize, answers: Vec<(u32, Answer)>) {
        for (id, answer) in answers {
            assert!(self.answered.insert(id), "seed {}: two answers to {id}", self.seed);
            if answer == Answer::Rejected {
                self.requests.remove(&id);
                continue;
            }
            let Request { priority, .. } = self.requests[&id];
            self.queue.push_back(id);
            self.fill_slots();
            self.tally.sent += u64::from(self.is_settled());
            if priority != HIGH && self.is_settled() {
                let others = self.gateways.iter().filter(|(other, _)| **other != address);
                let waits = |it: &Gateway| it.held.values().any(|band| *band == HIGH);
                self.tally.low_before_high += u64::from(others.map(|it| it.1).any(waits));
            }
        }
    }

    /// Gives free slots to the requests that wait in pods.
    fn fill_slots(&mut self) {
        while self.running.len() < self.load.slots() {
            let Some(id) = self.queue.pop_front() else { break };
            let end = self.now + 1 + self.service_ms();
            self.running.insert((end, id));
            if let Some(Request { priority: HIGH, arrived, .. }) = self.requests.get(&id) {
                self.tally.high_waits.push(self.now - arrived);
            }
        }
    }

    fn service_ms(&mut self) -> u64 {
        self.chance.exponential(self.load.service_ms) as u64
    }

    fn push(&mut self) {
        let now = self.instant();
        if self.next_scraper.is_some_and(|at| at <= self.now) {
            self.epochs += 1;
            self.scrapers.push(Scraper::new(self.epochs));
            self.next_scraper = None;
        }
        if self.old_ends <= self.now && self.scrapers.len() > 1 {
            self.scrapers.remove(0);
        }
        let addresses: Vec<usize> = self.gateways.keys().copied().collect();
        let shown = (self.running.len() + self.queue.len()) as u64;
        let mut messages = Vec::new();
        for scraper in &mut self.scrapers {
            scraper.hub.pages(now, shown);
            messages.extend(scraper.push(now, &addresses));
        }
        messages.into_iter().for_each(|message| self.mail(message));
    }

    fn mail(&mut self, message: Message) {
        let faults = if self.is_calm { Faults::NONE } else { self.faults };
        if happens(&mut self.chance, faults.lost) {
            return;
        }
        let copies = if happens(&mut self.chance, faults.twice) { 2 } else { 1 };
        for _ in 0..copies {
            let late = happens(&mut self.chance, faults.late);
            let late = if late { self.chance.below(Faults::LATE_MAX_MS) } else { 0 };
            self.mailed += 1;
            self.mail.insert((self.now + 1 + late, self.mailed), message.clone());
        }
    }

    fn deliver(&mut self) {
        while let Some(((due, _), _)) = self.mail.first_key_value() {
            if *due > self.now {
                break;
            }
            let Some((_, message)) = self.mail.pop_first() else { break };
            let now = self.instant();
            match message {
                Message::Push { address, from, part } => {
                    let Some(gateway) = self.gateways.get_mut(&address) else { continue };
                    let (report, answers) = gateway.push(now, *part);
                    self.take(address, answers);
                    self.mail(Message::Reply { address, to: from, report: Box::new(report) });
                }
                Message::Reply { address, to, report } => {
                    let scraper = self.scrapers.iter_mut().find(|it| it.epoch == to);
                    if let Some(scraper) = scraper {
                        scraper.hear(now, address, *report);
                    }
                }
            }
        }
    }

    /// Ends all faults and lets the pool be full for a while; then no request comes any more.
    pub(crate) fn come_to_rest(&mut self) {
        self.is_calm = true;
        if self.scrapers.is_empty() && self.next_scraper.is_none() {
            self.next_scraper = Some(self.now);
        }
        self.old_ends = self.old_ends.min(self.now);
        self.load.load = self.load.load.max(1.5);
        // A new exchange starts within eight seconds and learns for five; a dead gateway is known after five.
        self.live(16_000);
        self.tally = Tally::default();
        self.live(4_000);
        let figures = self.figures();
        // A place that goes to another gateway is empty for two pushes, and with few places for each
        // gateway many go.
        let least = 0.85 - 0.3 * self.gateways.len() as f64 / self.load.limit() as f64;
        assert!(
            figures.busy > least,
            "seed {}: {figures:?}, {:?}, {:?}, {} gateways",
            self.seed,
            self.load,
            self.faults,
            self.gateways.len()
        );
        self.next_arrival = f64::INFINITY;
        self.live(self.load.ttl_ms + 1_000 + 20 * self.load.service_ms as u64);
        let left = self.requests.len();
        assert_eq!(left, 0, "seed {}: {left} requests without an end", self.seed);
        let in_flight: u64 = self.gateways.values().map(Gateway::in_flight).sum();
        assert_eq!(in_flight, 0, "seed {}", self.seed);
    }

    pub(crate) fn figures(&self) -> Figures {
        let Tally { ms, busy, sent, low_before_high, high_waits } = &self.tally;
        let mut waits = high_waits.clone();
        waits.sort_unstable();
        let p99 = waits.get(waits.len() * 99 / 100).copied().unwrap_or(0);
        Figures {
            busy: busy / (*ms).max(1) as f64,
            low_before_high: *low_before_high as f64 / (*sent).max(1) as f64,
            high_p99: p99 as f64 / 1e3,
        }
    }
}
