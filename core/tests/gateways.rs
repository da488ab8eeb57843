//! A law of the saturation gate: several gateways over the same pods know nothing of each other but
//! what the pods' pages show, and still none sends more than the pages leave room for.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use picker_core::{
    Config, Endpoint, Event, Health, Incarnation, Instant, Metrics, Randomness, Scheduler,
    Snapshot,
    ledger::{EndpointKey, Ledger, Work},
    saturation::Capacity,
};

/// Requests that the engine runs at once.
const BATCH: usize = 24;
/// Waiting requests at which the default detector shuts the gate.
const QUEUE_DEPTH: usize = 5;
/// Time between two pages, and from a page's reading to its arrival.
const PAGE_EVERY: u64 = 50;
const PAGE_TAKES: u64 = 20;
const STEPS: u64 = 20_000;

/// Chance by Knuth's MMIX generator.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

/// A gateway with a scheduler and a ledger of its own.
struct Gateway {
    scheduler: Scheduler,
    ledger: Ledger,
    /// Times of the sends since the latest page that it has was read.
    since_page: Vec<u64>,
    /// Waiting requests on that page.
    waiting: usize,
    sent: usize,
}

/// A page on its way.
#[derive(Clone, Copy)]
struct Page {
    read_at: u64,
    waiting: usize,
    running: usize,
}

impl Gateway {
    fn new(seed: u64) -> Self {
        let scheduler = Scheduler::new(Config::default(), Randomness::from_seed(seed));
        let ledger = Ledger::default();
        Self { scheduler, ledger, since_page: Vec::new(), waiting: 0, sent: 0 }
    }

    fn take(&mut self, now: u64, page: Page) {
        let metrics = Metrics {
            age: Duration::from_millis(now - page.read_at),
            waiting: u32::try_from(page.waiting).unwrap(),
            running: u32::try_from(page.running).unwrap(),
            ..Metrics::default()
        };
        let endpoint = Endpoint {
            address: address(),
            health: Health::Up,
            metrics: Some(metrics),
            labels: Vec::new(),
            incarnation: Incarnation::default(),
        };
        let snapshot = Snapshot { endpoints: vec![endpoint], ..Snapshot::default() };
        let _ = self.scheduler.handle(Event::Snapshot { snapshot, received_at: at(now) });
        self.since_page.retain(|sent| *sent >= page.read_at);
        self.waiting = page.waiting;
    }

    /// Sends a request if the gate is open.
    fn try_send(&mut self, now: u64) -> bool {
        let Capacity::Serving(budget) = self.scheduler.capacity(at(now), &self.ledger) else {
            return false;
        };
        if budget.places(1.0) == 0 {
            return false;
        }
        self.ledger.accounts.open(at(now), EndpointKey::from(address()), Work::default());
        self.since_page.push(now);
        self.sent += 1;
        true
    }
}

fn address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 8000))
}

fn at(ms: u64) -> Instant {
    Instant::from_nanos((1_000_000 + ms) * 1_000_000)
}

/// Runs so many gateways against one pod under a load far above what it serves.
fn run(count: usize) -> Vec<Gateway> {
    let mut chance = Chance(7 + count as u64);
    let mut gateways: Vec<Gateway> = (0..count).map(|it| Gateway::new(it as u64)).collect();
    // Requests in the pod, by their gateways, in the order of their arrival.
    let mut pod: VecDeque<usize> = VecDeque::new();
    let mut page = None;
    for now in 0..STEPS {
        if now % PAGE_EVERY == 0 {
            let running = pod.len().min(BATCH);
            page = Some(Page { read_at: now, waiting: pod.len() - running, running });
        }
        if let Some(page) = page.take_if(|page| now - page.read_at >= PAGE_TAKES) {
            gateways.iter_mut().for_each(|gateway| gateway.take(now, page));
        }
        if !pod.is_empty() && chance.below(8) == 0 {
            let place = chance.below(pod.len().min(BATCH));
            let gateway = &mut gateways[pod.remove(place).unwrap()];
            gateway.ledger.accounts.close(at(now), EndpointKey::from(address()), Work::default());
        }
        let number = chance.below(count);
        let gateway = &mut gateways[number];
        if gateway.try_send(now) {
            pod.push_back(number);
            // Of those that were sent since, the ones that ended do not wait.
            let in_flight = usize::try_from(gateway.ledger.accounts.requests()).unwrap();
            let waiting = gateway.waiting + gateway.since_page.len().min(in_flight);
            assert!(
                waiting <= QUEUE_DEPTH,
                "{count} gateways: {waiting} wait as far as gateway {number} knows, at {now} ms"
            );
        }
    }
    gateways
}

#[test]
fn no_gateway_sends_more_than_the_pages_leave_room_for() {
    for count in [1, 2, 4, 8] {
        let gateways = run(count);
        for (number, gateway) in gateways.iter().enumerate() {
            let least = usize::try_from(STEPS).unwrap() / 8 / count / 4;
            assert!(gateway.sent > least, "gateway {number} of {count}: {} sent", gateway.sent);
        }
    }
}
