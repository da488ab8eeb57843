//! An Envoy with queues: its workers, the store that they share, the messages between them.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use picker_core::{
    CacheConfig, Chain, End, Endpoint, Fault, Health, Incarnation, InferenceRequest, Instant,
    Metrics, PlacementEvent, Randomness, RequestId, ResponseClass, ResponseStart, Snapshot,
    TokenUsage,
    flow::FlowKey,
    ledger::WorkerId,
    worker::{Decision, Effect, Input, Observation, PendingRequest, Worker, WorkerName},
    workers::{AdmissionResult, Message, QueueId},
};

use super::{
    draw::Drawn,
    gate::{BANDS, Gate},
};
use crate::{
    fleet::Pod,
    picker::{Exchange, ExchangeEnd, SharedStore},
    trace::BLOCK_TOKENS,
};

/// Workers of an Envoy.
pub(super) const WORKERS: usize = 2;

/// An Envoy.
pub(super) struct Gateway {
    store: SharedStore,
    workers: Vec<Worker>,
    end: Option<ExchangeEnd>,
    pods: Vec<Pod>,
    /// Orders for the world outside, the oldest first.
    orders: VecDeque<Order>,
}

/// An order of a gateway to the world around it.
#[derive(Debug)]
pub(super) enum Order {
    /// Send a request to a pod.
    Place { request: u32, pod: usize },
    /// Bring a message to a worker.
    Bring { worker: usize, message: Message },
    /// Let a worker tick in quick succession from now on.
    TickSoon { worker: usize },
}

/// A pod's page, as a scraper has read it.
#[derive(Clone, Copy, Debug)]
pub(super) struct PodPage {
    /// Time of the reading.
    pub(super) at: Duration,
    /// Running and waiting requests, and the cache's use; `None` where it was never read.
    pub(super) numbers: Option<(usize, usize, f64)>,
    pub(super) is_up: bool,
    /// Time at which its engine began.
    pub(super) began: Duration,
}

/// The end of a request, as its gateway sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    pub(super) request: u32,
    /// Tokens of prompt and answer.
    pub(super) tokens: (usize, usize),
    /// Mean time between tokens; `None` of an answer with one.
    pub(super) step: Option<Duration>,
}

impl Gateway {
    /// Starts an Envoy behind this gate over these pods.
    pub(super) fn new(gate: Gate, pods: &[Pod], seed: u64) -> Self {
        let worker = |number: usize| {
            let name =
                WorkerName { id: WorkerId(number as u64 + 1), queue: QueueId(small(number) + 1) };
            let randomness = Randomness::from_seed(seed.wrapping_add(number as u64));
            Worker::new(name, gate.config(), Instant::default(), randomness)
        };
        Self {
            store: SharedStore::default(),
            workers: (0..WORKERS).map(worker).collect(),
            end: None,
            pods: pods.to_vec(),
            orders: VecDeque::new(),
        }
    }

    /// Takes part in an exchange, as the gateway of this number.
    pub(super) fn exchanging(self, exchange: &Exchange, number: usize) -> Self {
        Self { end: Some(ExchangeEnd::new(exchange.clone(), number)), ..self }
    }

    /// Returns what is to be done outside since the last call.
    pub(super) fn orders(&mut self) -> VecDeque<Order> {
        std::mem::take(&mut self.orders)
    }

    /// True while a worker is to tick in quick succession.
    pub(super) fn is_busy(&self, worker: usize) -> bool {
        self.workers.get(worker).is_some_and(Worker::is_busy)
    }

    /// Takes a request that came to a worker.
    pub(super) fn arrive(&mut self, now: Duration, worker: usize, request: u32, drawn: Drawn) {
        let [interactive, batch] = BANDS;
        let priority = if drawn.is_interactive { interactive } else { batch };
        let pending = PendingRequest {
            id: RequestId(request),
            request: InferenceRequest {
                chain: Chain::default(),
                prompt_tokens: Some(small(drawn.prompt)),
                priority,
                ..InferenceRequest::default()
            },
            flow: FlowKey { priority, ..FlowKey::default() },
            bytes: 0,
            ttl: None,
            slo_ttft: None,
        };
        self.tell(now, worker, Input::Arrived(Box::new(pending)));
    }

    /// Hears of a request's first token.
    pub(super) fn begin(&mut self, now: Duration, worker: usize, request: u32) {
        let request = RequestId(request);
        let start = ResponseStart { served_by: None, class: ResponseClass::Taken };
        self.tell(now, worker, Input::Responded { request, start });
        self.observe(worker, Observation::FirstToken { request, at: instant(now) });
    }

    /// Hears of a request's last token.
    pub(super) fn end(&mut self, now: Duration, worker: usize, ending: Ending) {
        let Ending { request, tokens: (prompt, output), step } = ending;
        let request = RequestId(request);
        if let Some(tpot) = step {
            self.observe(worker, Observation::Streamed { request, tpot });
        }
        let usage = TokenUsage { prompt: small(prompt), cached: Some(0), output: small(output) };
        self.observe(worker, Observation::Metered { request, at: instant(now), usage });
        self.tell(now, worker, Input::Ended { request, start: None, end: End::Whole });
    }

    /// Hears that a pod is gone in which a request was.
    pub(super) fn lose(&mut self, now: Duration, worker: usize, request: u32, has_begun: bool) {
        let request = RequestId(request);
        let failed =
            ResponseStart { served_by: None, class: ResponseClass::Failed(Fault::Endpoint) };
        let (start, end) = if has_begun {
            (None, End::Broken(Fault::Endpoint))
        } else {
            (Some(failed), End::Gone)
        };
        self.tell(now, worker, Input::Ended { request, start, end });
    }

    /// Takes a message from another worker.
    pub(super) fn hear(&mut self, now: Duration, worker: usize, message: Message) {
        for input in Input::from_message(message) {
            self.tell(now, worker, input);
        }
    }

    /// Lets a worker tick.
    pub(super) fn tick(&mut self, now: Duration, worker: usize) {
        self.tell(now, worker, Input::Tick);
    }

    /// Takes the pages of all pods.
    pub(super) fn scraped(&mut self, now: Duration, pages: &[PodPage]) {
        let endpoints = pages.iter().enumerate().map(|(pod, page)| self.endpoint(now, pod, *page));
        let snapshot = Snapshot { endpoints: endpoints.collect(), ..Snapshot::default() };
        let mut effects = self.store.store_snapshot(instant(now), snapshot);
        if let Some(end) = &mut self.end {
            effects.extend(end.push(instant(now), &mut self.store));
        }
        // Of a party that is no worker: wakes, and nothing that is of one.
        self.carry_out(now, 0, effects);
    }

    fn endpoint(&self, now: Duration, pod: usize, page: PodPage) -> Endpoint {
        let blocks = self.pods.get(pod).map_or(0, Pod::blocks);
        let metrics = page.numbers.map(|(running, waiting, kv_usage)| Metrics {
            age: now.saturating_sub(page.at),
            waiting: small(waiting),
            running: small(running),
            #[expect(clippy::cast_possible_truncation, reason = "a share, 0 to 1")]
            kv_usage: kv_usage as f32,
            cache: Some(CacheConfig { block_tokens: small(BLOCK_TOKENS), blocks: small(blocks) }),
            ..Metrics::default()
        });
        let number = u64::try_from(page.began.as_millis()).unwrap_or(0);
        Endpoint {
            address: address(pod),
            health: if page.is_up { Health::Up } else { Health::Down },
            metrics,
            labels: Vec::new(),
            incarnation: Incarnation { number, age: now.saturating_sub(page.began) },
        }
    }

    fn observe(&mut self, worker: usize, observation: Observation) {
        if let Some(worker) = self.workers.get_mut(worker) {
            worker.observe(observation);
        }
    }

    /// Tells a worker of an event and carries out what it asks for.
    fn tell(&mut self, now: Duration, number: usize, input: Input) {
        let Some(worker) = self.workers.get_mut(number) else { return };
        let effects = self.store.turn(instant(now), worker, input);
        let written = self.store.take_written();
        self.end.iter_mut().for_each(|end| end.tell(&written));
        self.carry_out(now, number, effects);
    }

    fn carry_out(&mut self, now: Duration, number: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Decide(decision) => self.decide(*decision),
                Effect::Publish { position, events } => self.publish(now, position, events),
                Effect::Send(envelope) => {
                    let worker = envelope.to.0.saturating_sub(1) as usize;
                    self.orders.push_back(Order::Bring { worker, message: envelope.message });
                }
                Effect::Then(input) => self.tell(now, number, *input),
                Effect::TickSoon => self.orders.push_back(Order::TickSoon { worker: number }),
                Effect::ShowHeartbeat => {
                    if let Some(worker) = self.workers.get(number) {
                        self.store.show(worker.id(), worker.heartbeat().clone());
                    }
                }
                Effect::Evict { .. }
                | Effect::RemoveHeartbeat { .. }
                | Effect::ReportUnreadable(_)
                | Effect::ReportContended
                | Effect::ReportRecount => {
                    debug_assert!(false, "no worker dies, and workers take turns: {effect:?}");
                }
                Effect::ShowPool(_) => (),
            }
        }
    }

    fn publish(&mut self, now: Duration, position: u64, events: Vec<PlacementEvent>) {
        self.end.iter_mut().for_each(|end| end.tell(&events));
        self.store.publish(instant(now), position, events);
    }

    fn decide(&mut self, decision: Decision) {
        let Decision { request: RequestId(request), result, .. } = decision;
        match result {
            AdmissionResult::Sent(result) => {
                let first = result.ranked.first();
                let pod = first.map_or(0, |first| usize::from(first.port() - 8000));
                self.orders.push_back(Order::Place { request, pod });
            }
            // Before the first snapshot Envoy goes on by itself: round robin.
            AdmissionResult::FailedOpen => {
                let pod = request as usize % self.pods.len().max(1);
                self.orders.push_back(Order::Place { request, pod });
            }
            AdmissionResult::Held => (),
            AdmissionResult::Refused(_) | AdmissionResult::Rejected(_) | AdmissionResult::Shed => {
                debug_assert!(false, "no request is turned away: {result:?}");
            }
        }
    }
}

fn address(pod: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 8000 + u16::try_from(pod).unwrap_or(0)))
}

fn instant(at: Duration) -> Instant {
    // Not the clock's zero, which stands for "never".
    Instant::from_nanos(1 + u64::try_from(at.as_nanos()).unwrap_or(u64::MAX - 1))
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
