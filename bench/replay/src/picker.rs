//! llm-picker itself: the workers of one Envoy, each with the engine that runs in its VM.
//!
//! Scheduler, member, ledger and notes are the crate's own. What is written here is their
//! surroundings, as the filter has them: shared data, the ring of notes, and snapshots that come as
//! late as the scraper makes them.

mod board;

use std::{net::SocketAddr, time::Duration};

use picker_core::{
    CacheConfig, Config, End, Endpoint, Event, Health, InferenceRequest, Instant, Metrics,
    RequestId, ResponseClass, Scheduler, SchedulingResult, Snapshot,
    flow::{FlowKey, Ticket, TicketId},
    ledger::{Ledger, WorkerId},
    workers::{
        Admission, AdmissionResult as Placed, Capacity, CapacitySource, QueueId, Target, WorkerPeer,
    },
};

use crate::{
    fleet::{Fleet, Pod, Reading},
    router::{Arrival, Router},
    trace::BLOCK_TOKENS,
};
use board::{Board, SharedData};

/// The scraper's own rhythm: 20 times a second.
const SCRAPES_EVERY: Duration = Duration::from_millis(50);

/// Workers of an Envoy.
pub(crate) const WORKERS: usize = 4;

/// One Envoy.
pub(crate) struct Picker {
    shared: SharedData,
    workers: Vec<Worker>,
    pods: Vec<Pod>,
    /// The worker of each request in flight is chosen by the kernel: at random.
    chance: fastrand::Rng,
    /// By request.
    placed_by: Vec<usize>,
}

/// One worker thread.
struct Worker {
    scheduler: Scheduler,
    member: WorkerPeer,
    board: Board,
}

impl Picker {
    /// An Envoy of so many workers over these pods.
    pub(crate) fn new(config: &Config, workers: usize, pods: &[Pod], seed: u64) -> Self {
        let mut chance = fastrand::Rng::with_seed(seed);
        let worker = |number: usize| Worker {
            scheduler: Scheduler::new(config.clone(), chance.u64(..)),
            member: WorkerPeer::new(
                WorkerId(number as u64 + 1),
                QueueId::default(),
                None,
                Instant::default(),
            ),
            board: Board::default(),
        };
        Self {
            workers: (0..workers).map(worker).collect(),
            shared: SharedData::default(),
            pods: pods.to_vec(),
            chance: fastrand::Rng::with_seed(!seed),
            placed_by: Vec::new(),
        }
    }

    fn endpoint(&self, pod: usize, reading: &Reading, age: Duration) -> Endpoint {
        let blocks = self.pods.get(pod).map_or(0, Pod::blocks);
        let metrics = Metrics {
            age,
            waiting: small(reading.waiting),
            running: small(reading.running),
            #[expect(clippy::cast_possible_truncation, reason = "a share, 0 to 1")]
            kv_usage: reading.kv_usage as f32,
            cache: Some(CacheConfig { block_tokens: small(BLOCK_TOKENS), blocks: small(blocks) }),
            adapters: None,
            attributes: Vec::new(),
        };
        Endpoint {
            address: address(pod),
            health: Health::Up,
            metrics: Some(metrics),
            labels: Vec::new(),
        }
    }
}

impl Router for Picker {
    fn scrapes_every(&self) -> Option<Duration> {
        Some(SCRAPES_EVERY)
    }

    fn scraped(&mut self, now: Duration, readings: &[Reading], age: Duration) {
        let endpoint = |(pod, reading)| self.endpoint(pod, reading, age);
        let endpoints = readings.iter().enumerate().map(endpoint).collect();
        let snapshot = Snapshot { endpoints, ..Snapshot::default() };
        self.shared.post_snapshot(instant(now), snapshot);
    }

    fn place(&mut self, now: Duration, arrival: Arrival<'_>, _fleet: &Fleet) -> usize {
        let number = self.chance.usize(..self.workers.len().max(1));
        if self.placed_by.len() <= arrival.number {
            self.placed_by.resize(arrival.number + 1, 0);
        }
        if let Some(placed_by) = self.placed_by.get_mut(arrival.number) {
            *placed_by = number;
        }
        let decision = self
            .workers
            .get_mut(number)
            .and_then(|worker| worker.place(instant(now), arrival, &self.shared));
        let chosen = decision.and_then(|decision| decision.ranked.first().copied());
        // Before the first snapshot Envoy goes on by itself: round robin.
        chosen.map_or_else(|| arrival.number % self.pods.len().max(1), pod)
    }

    fn answered(&mut self, now: Duration, request: usize) {
        let number = self.placed_by.get(request).copied().unwrap_or(0);
        if let Some(worker) = self.workers.get_mut(number) {
            worker.answered(instant(now), id(request), &self.shared);
        }
    }

    fn ended(&mut self, now: Duration, request: usize) {
        let number = self.placed_by.get(request).copied().unwrap_or(0);
        if let Some(worker) = self.workers.get_mut(number) {
            worker.ended(instant(now), id(request), &self.shared);
        }
    }
}

impl Worker {
    fn place(
        &mut self,
        now: Instant,
        arrival: Arrival<'_>,
        shared: &SharedData,
    ) -> Option<SchedulingResult> {
        let request = id(arrival.number);
        let ask = InferenceRequest { chain: arrival.chain.clone(), ..InferenceRequest::default() };
        let ticket = Ticket {
            id: TicketId { worker: self.member.id().0, request: request.0 },
            flow: FlowKey::default(),
            bytes: 0,
            prompt_tokens: ask.tokens(),
            uncached_tokens: ask.tokens(),
            arrived: now,
            ttl: None,
            slo_ttft: None,
        };
        let Self { scheduler, member, board } = self;
        let admit = |ledger: &Ledger| {
            board.catch_up(now, ledger, shared, scheduler);
            match scheduler.decide(now, &ask, ledger) {
                Ok(decision) => Admission::Send(target(scheduler, &ask, &decision), decision),
                Err(why) => Admission::Refuse(why),
            }
        };
        let (arrival, _) = member.arrive(now, (shared, &Unlimited), ticket, admit);
        let Placed::Sent(decision, position) = arrival else { return None };
        let sent = Event::Sent { request, at: now, ask, decision: decision.clone() };
        let notes = scheduler.handle(sent);
        if let Some(position) = position {
            board.post_notes(position);
            shared.post_notes(now, position, notes);
        }
        Some(decision)
    }

    fn answered(&mut self, now: Instant, request: RequestId, shared: &SharedData) {
        self.member.answered(now, shared, request);
        let answered =
            Event::Answered { request, at: now, served_by: None, answer: ResponseClass::Taken };
        for event in [answered, Event::FirstToken { request, at: now }] {
            let _ = self.scheduler.handle(event);
        }
    }

    fn ended(&mut self, now: Instant, request: RequestId, shared: &SharedData) {
        let _ = self.member.ended(now, shared, request);
        let _ = self.scheduler.handle(Event::Ended { request, at: now, end: End::Whole });
    }
}

/// Flow control is off: nobody asks how much more the pool takes.
struct Unlimited;

impl CapacitySource for Unlimited {
    fn capacity(&self, _ledger: &Ledger) -> Capacity {
        Capacity::Unknown
    }
}

/// What the ledger counts of a request.
fn target(scheduler: &Scheduler, ask: &InferenceRequest, decision: &SchedulingResult) -> Target {
    let work = scheduler.work(decision);
    Target {
        endpoint: decision.ranked.first().copied().map_or_else(Default::default, Into::into),
        prefill: decision.computed_apart().map(|prefill| prefill.endpoint.into()),
        tokens: work.tokens,
        load: Some(work),
        announced: !ask.chain.hashes.is_empty(),
    }
}

/// Pods are told apart by their port.
fn address(pod: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 8000 + u16::try_from(pod).unwrap_or(0)))
}

fn pod(address: SocketAddr) -> usize {
    usize::from(address.port().saturating_sub(8000))
}

fn id(request: usize) -> RequestId {
    RequestId(small(request))
}

fn instant(at: Duration) -> Instant {
    Instant::from_nanos(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX))
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
