//! A gateway: its workers, their store, and its end of the exchange.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use picker_core::{
    Config, End, Endpoint, Health, Incarnation, InferenceRequest, Instant, Metrics, Randomness,
    RequestId, ResponseClass, ResponseStart, Snapshot,
    exchange::{GatewayId, GatewayPart, GatewayReport, Inbox, Others, Outbox},
    flow::{BandConfig, FairnessId, FlowConfig, FlowKey, Priority},
    ledger::WorkerId,
    saturation::{Concurrency, Detector},
    worker::{
        Effect, ExchangeNotice, Host, Input, MemoryStore, Party, PendingRequest, Proposal, Seen,
        SnapshotNotice, Wants, Worker, WorkerConfig, WorkerName, turn,
    },
    workers::{AdmissionResult, QueueId},
};

use crate::load::Load;

pub(crate) const HIGH: Priority = Priority(10);
pub(crate) const LOW: Priority = Priority(0);

/// Time between ticks of a worker on which requests wait, and of any other; as the filter has it.
const BUSY_TICK: Duration = Duration::from_millis(20);
const IDLE_TICK: Duration = Duration::from_secs(1);

/// The answer that a request got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Sent,
    Rejected,
}

/// A gateway with workers of the kind that ships.
pub(crate) struct Gateway {
    pub(crate) id: GatewayId,
    store: MemoryStore,
    workers: Vec<Worker>,
    next_ticks: Vec<Instant>,
    mail: VecDeque<(usize, Input)>,
    outbox: Outbox,
    inbox: Inbox,
    inbox_epoch: u64,
    reports: u64,
    pods: usize,
    /// Requests that wait, with their bands.
    pub(crate) held: BTreeMap<u32, Priority>,
    /// True once it has a snapshot: it is sent requests from then on.
    pub(crate) is_ready: bool,
}

struct Seat<'a, P> {
    party: &'a mut P,
    store: &'a mut MemoryStore,
}

impl<P> Host<P> for Seat<'_, P> {
    fn lend<T>(&mut self, part: impl FnOnce(&mut P) -> T) -> T {
        part(self.party)
    }

    fn read(&mut self, wants: &Wants) -> Seen {
        self.store.read(wants)
    }

    fn commit(&mut self, proposal: &Proposal) -> bool {
        self.store.commit(proposal)
    }
}

impl Gateway {
    pub(crate) fn new(id: GatewayId, load: &Load, now: Instant) -> Self {
        let detector = Detector::Concurrency(Concurrency {
            max_requests: load.of_pod,
            ..Concurrency::default()
        });
        let bands = [(HIGH, BandConfig::default()), (LOW, BandConfig::default())].into();
        let config = WorkerConfig {
            scheduler: Config { detector, ..Config::default() },
            flow: Some(FlowConfig { bands, ..FlowConfig::default() }),
            ..WorkerConfig::default()
        };
        let worker = |number: usize| {
            let name =
                WorkerName { id: WorkerId(number as u64 + 1), queue: QueueId(number as u32) };
            let seed = id.0 * 100 + number as u64;
            Worker::new(name, config.clone(), now, Randomness::from_seed(seed))
        };
        Self {
            id,
            store: MemoryStore::default(),
            workers: (0..load.workers).map(worker).collect(),
            next_ticks: vec![now; load.workers],
            mail: VecDeque::new(),
            outbox: Outbox::default(),
            inbox: Inbox::default(),
            inbox_epoch: 0,
            reports: 0,
            pods: load.pods,
            held: BTreeMap::new(),
            is_ready: false,
        }
    }

    /// Requests in flight by the ledger.
    pub(crate) fn in_flight(&self) -> u64 {
        self.store.ledger().accounts.requests()
    }

    pub(crate) fn place(&self) -> String {
        let ledger = self.store.ledger();
        let credit = self.store.others().and_then(Others::credit);
        format!("{:?}: {} in flight, {credit:?}", self.id, ledger.accounts.requests())
    }

    /// A request arrives. Returns what was answered meanwhile.
    pub(crate) fn arrive(
        &mut self,
        now: Instant,
        request: u32,
        priority: Priority,
        ttl: Duration,
    ) -> Vec<(u32, Answer)> {
        let worker = request as usize % self.workers.len();
        self.held.insert(request, priority);
        let id = FairnessId::new("tenant");
        let pending = PendingRequest {
            id: RequestId(request),
            request: InferenceRequest { priority, ..InferenceRequest::default() },
            flow: FlowKey { id, priority },
            bytes: 1_000,
            ttl: Some(ttl),
            slo_ttft: None,
        };
        self.mail.push_back((worker, Input::Arrived(Box::new(pending))));
        self.work(now)
    }

    /// A request ends in its pod.
    pub(crate) fn end(&mut self, now: Instant, request: u32) -> Vec<(u32, Answer)> {
        let worker = request as usize % self.workers.len();
        let start = Some(ResponseStart { served_by: None, class: ResponseClass::Taken });
        let input = Input::Ended { request: RequestId(request), start, end: End::Whole };
        self.mail.push_back((worker, input));
        self.work(now)
    }

    /// Ticks the workers that are due, and delivers messages among them.
    pub(crate) fn work(&mut self, now: Instant) -> Vec<(u32, Answer)> {
        for worker in 0..self.workers.len() {
            if self.next_ticks[worker] <= now {
                self.mail.push_back((worker, Input::Tick));
                let is_busy = self.workers[worker].is_busy();
                self.next_ticks[worker] = now + if is_busy { BUSY_TICK } else { IDLE_TICK };
            }
        }
        let mut answers = Vec::new();
        while let Some((number, input)) = self.mail.pop_front() {
            let party = &mut self.workers[number];
            let effects = turn(&mut Seat { party, store: &mut self.store }, now, input);
            for effect in effects {
                self.carry_out(now, number, effect, &mut answers);
            }
        }
        answers
    }

    fn carry_out(
        &mut self,
        now: Instant,
        number: usize,
        effect: Effect,
        answers: &mut Vec<(u32, Answer)>,
    ) {
        match effect {
            Effect::Decide(decision) => {
                let answer = match decision.result {
                    AdmissionResult::Sent(_) => Answer::Sent,
                    AdmissionResult::Held => return,
                    AdmissionResult::Rejected(_) => Answer::Rejected,
                    AdmissionResult::FailedOpen
                    | AdmissionResult::Refused(_)
                    | AdmissionResult::Shed => panic!("{:?}", decision.result),
                };
                let request = decision.request.0;
                assert!(self.held.remove(&request).is_some(), "a second answer to {request}");
                answers.push((request, answer));
            }
            Effect::Send(envelope) => {
                let to = envelope.to.0 as usize;
                let inputs = Input::from_message(envelope.message);
                self.mail.extend(inputs.into_iter().map(|input| (to, input)));
            }
            Effect::Publish { position, events } => {
                self.outbox.push(events.clone());
                self.store.publish(position, events);
            }
            Effect::ShowHeartbeat => {
                let worker = &self.workers[number];
                self.store.show(worker.id(), worker.heartbeat().clone());
            }
            Effect::TickSoon => self.next_ticks[number] = now + BUSY_TICK,
            Effect::Then(input) => self.mail.push_front((number, *input)),
            Effect::ShowPool(_) => (),
            Effect::Evict { .. }
            | Effect::RemoveHeartbeat { .. }
            | Effect::ReportRecount
            | Effect::ReportUnreadable(_)
            | Effect::ReportContended => panic!("{effect:?}"),
        }
    }

    /// Takes a push. Returns its reply, and what was answered meanwhile.
    pub(crate) fn push(
        &mut self,
        now: Instant,
        mut part: GatewayPart,
    ) -> (GatewayReport, Vec<(u32, Answer)>) {
        let batch = std::mem::take(&mut part.events);
        let (epoch, next_event) = (part.epoch, part.next_event);
        let others = Others::after(self.store.others(), self.id, part, now);
        if let Some(others) = others {
            self.store.store_others(others);
            if epoch != self.inbox_epoch {
                (self.inbox, self.inbox_epoch) = (Inbox::default(), epoch);
            }
            self.outbox.acknowledge(next_event);
            let events = self.inbox.take(batch);
            self.store.store_snapshot(self.snapshot(), now);
            self.is_ready = true;
            self.notify(now, &mut ExchangeNotice, events);
            self.notify(now, &mut SnapshotNotice, ());
        }
        let answers = self.work(now);
        self.reports += 1;
        let store = &self.store;
        let report = GatewayReport {
            gateway: self.id,
            number: self.reports,
            events: self.outbox.batch(),
            next_event: self.inbox.next(),
            ..GatewayReport::of_store(now, store.ledger(), store.heartbeats(), store.others())
        };
        (report, answers)
    }

    fn notify<P: Party>(&mut self, now: Instant, party: &mut P, input: P::Input) {
        let mut answers = Vec::new();
        for effect in turn(&mut Seat { party, store: &mut self.store }, now, input) {
            self.carry_out(now, 0, effect, &mut answers);
        }
    }

    fn snapshot(&self) -> Snapshot {
        let endpoint = |pod: usize| Endpoint {
            address: SocketAddr::from(([10, 0, 0, 1], 8_000 + pod as u16)),
            health: Health::Up,
            metrics: Some(Metrics::default()),
            labels: Vec::new(),
            incarnation: Incarnation::default(),
        };
        Snapshot { endpoints: (0..self.pods).map(endpoint).collect(), ..Snapshot::default() }
    }
}
