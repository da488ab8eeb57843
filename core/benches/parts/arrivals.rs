//! Requests that arrive at a warm pool, again and again.

use std::{net::SocketAddr, time::Duration};

use picker_core::{
    BLOCKS_MAX, Chain, Chainer, Config, End, Endpoint, Event, Health, Incarnation,
    InferenceRequest, Instant, Metrics, Randomness, RequestId, ResponseClass, Scheduler, Seed,
    Snapshot,
    ledger::{Account, Ledger},
};

/// Prompts in turn: enough that one is not just where it was.
const PROMPTS: u32 = 1_000;

const NOW: Instant = Instant::from_nanos(1_000_000_000);

/// Returns a system prompt that all share, and a conversation of `bytes` that only requests of the
/// same number share.
pub(crate) fn chain(who: u32, bytes: usize) -> Chain {
    let mut chainer = Chainer::new(&Seed::default(), BLOCKS_MAX);
    chainer.update(&[b's'; 4_096]);
    chainer.update(&who.to_le_bytes().repeat(bytes / 4));
    chainer.finish()
}

/// An engine that knows all prompts, with three requests in flight at each endpoint.
pub(crate) struct Arrivals {
    scheduler: Scheduler,
    ledger: Ledger,
    asks: Vec<InferenceRequest>,
    next: usize,
}

impl Arrivals {
    pub(crate) fn new(endpoints: u16) -> Self {
        let snapshot =
            Snapshot { endpoints: (1..=endpoints).map(endpoint).collect(), ..Snapshot::default() };
        let mut scheduler = Scheduler::new(Config::default(), Randomness::from_seed(1));
        let _ = scheduler.handle(Event::Snapshot { snapshot, received_at: NOW });
        let busy = |port| Account {
            endpoint: address(port).into(),
            requests: 3,
            tokens: 900,
            free_at: NOW + Duration::from_millis(50),
            ..Account::default()
        };
        let ledger = Ledger { accounts: (1..=endpoints).map(busy).collect(), ..Ledger::default() };
        let asks = (0..PROMPTS).map(|who| InferenceRequest {
            chain: chain(who, 20_000),
            ..InferenceRequest::default()
        });
        let mut arrivals = Self { scheduler, ledger, asks: asks.collect(), next: 0 };
        (0..PROMPTS).for_each(|_| arrivals.arrive());
        arrivals
    }

    /// Matches, scores, picks, learns, answers and ends one request.
    pub(crate) fn arrive(&mut self) {
        let request = RequestId(1);
        self.next = (self.next + 1) % self.asks.len();
        let ask = self.asks[self.next].clone();
        let decision = self.scheduler.decide(NOW, &ask, &self.ledger).unwrap();
        let answer = ResponseClass::Taken;
        for event in [
            Event::Sent { request, at: NOW, ask, decision },
            Event::Answered { request, at: NOW, served_by: None, answer },
            Event::Ended { request, at: NOW, end: End::Whole },
        ] {
            std::hint::black_box(self.scheduler.handle(event));
        }
    }
}

fn endpoint(port: u16) -> Endpoint {
    Endpoint {
        address: address(port),
        health: Health::Up,
        metrics: Some(
            Metrics::default().waiting(u32::from(port % 7)).kv_usage(f32::from(port % 13) / 13.0),
        ),
        labels: Vec::new(),
        incarnation: Incarnation::default(),
    }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}
