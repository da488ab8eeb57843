//! A few workers in one process, and what they ask of it as text.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use picker_core::{
    BLOCK_BYTES, Chainer, Config, Endpoint, EventKind, Health, Incarnation, InferenceRequest,
    Instant, Metrics, Objective, PlacementEvent, Profile, Randomness, RequestId, Seed, Snapshot,
    flow::{FlowConfig, FlowKey, Priority, Ticket},
    ledger::WorkerId,
    saturation::{Concurrency, Detector},
    worker::{
        Effect, Host, Input, MemoryStore, PendingRequest, Proposal, Seen, SnapshotNotice, Wants,
        Worker, WorkerConfig, WorkerName, turn,
    },
    workers::{AdmissionResult, Envelope, Message, QueueId},
};

pub(crate) struct Envoy {
    pub(crate) now: Instant,
    pub(crate) store: MemoryStore,
    /// The worker with the number 1 comes first.
    pub(crate) workers: Vec<Worker>,
    pub(crate) config: WorkerConfig,
    pub(crate) objectives: Vec<Objective>,
    /// The metrics and the life of all endpoints of the snapshots to come.
    pub(crate) metrics: Option<Metrics>,
    pub(crate) incarnation: Incarnation,
    /// The priority of requests to come.
    pub(crate) priority: Priority,
    /// The ticket that was handed in last.
    pub(crate) last_ticket: Option<Ticket>,
    mail: VecDeque<Envelope>,
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

/// The seat of the second worker, where the first one is faster.
pub(crate) struct Rival<'a> {
    envoy: &'a mut Envoy,
    /// The request that arrives at the first between the second's reading and writing, once.
    first: Option<PendingRequest>,
    /// Tries that others are faster than.
    losses: u32,
}

impl<'a> Rival<'a> {
    pub(crate) fn of(envoy: &'a mut Envoy, first: Option<PendingRequest>) -> Self {
        Self { envoy, first, losses: 0 }
    }

    /// One that others are faster than so many times.
    pub(crate) fn losing(envoy: &'a mut Envoy, losses: u32) -> Self {
        Self { envoy, first: None, losses }
    }
}

impl Host<Worker> for Rival<'_> {
    fn lend<T>(&mut self, part: impl FnOnce(&mut Worker) -> T) -> T {
        part(&mut self.envoy.workers[1])
    }

    fn read(&mut self, wants: &Wants) -> Seen {
        self.envoy.store.read(wants)
    }

    fn commit(&mut self, proposal: &Proposal) -> bool {
        if let Some(pending) = self.first.take() {
            self.envoy.tell(1, Input::Arrived(Box::new(pending)));
        }
        let loses = self.losses > 0;
        self.losses = self.losses.saturating_sub(1);
        !loses && self.envoy.store.commit(proposal)
    }
}

pub(crate) fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 8000))
}

/// Settings of flow control that are the default ones.
pub(crate) fn flow() -> FlowConfig {
    FlowConfig::default()
}

impl Envoy {
    /// So many workers, for endpoints that take one request each.
    pub(crate) fn new(workers: u32, flow: Option<FlowConfig>) -> Self {
        let detector = Concurrency { max_requests: 1, ..Concurrency::default() };
        let scheduler = Config {
            detector: Detector::Concurrency(detector),
            scheduling: Profile::of_the_epp().into(),
            ..Config::default()
        };
        let config = WorkerConfig { scheduler, flow, ..WorkerConfig::default() };
        let now = Instant::from_nanos(1_000_000_000_000);
        let worker = |id: u32| {
            let name = WorkerName { id: WorkerId(id.into()), queue: QueueId(id) };
            Worker::new(name, config.clone(), now, Randomness::from_seed(id.into()))
        };
        Self {
            now,
            store: MemoryStore::default(),
            workers: (1..=workers).map(worker).collect(),
            config,
            objectives: Vec::new(),
            metrics: None,
            incarnation: Incarnation::default(),
            priority: Priority(0),
            last_ticket: None,
            mail: VecDeque::new(),
        }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.store.ledger().accounts.requests()
    }

    pub(crate) fn waiting(&self) -> u32 {
        self.store.ledger().waiting
    }

    /// A snapshot with these endpoints comes.
    pub(crate) fn show(&mut self, endpoints: &[u8]) {
        let endpoint = |last: &u8| Endpoint {
            address: address(*last),
            health: Health::Up,
            metrics: self.metrics.clone(),
            labels: Vec::new(),
            incarnation: self.incarnation,
        };
        let endpoints = endpoints.iter().map(endpoint).collect();
        let objectives = self.objectives.clone();
        let snapshot = Snapshot { endpoints, objectives, ..Snapshot::default() };
        self.store.store_snapshot(snapshot, self.now);
        let mut seat = Seat { party: &mut SnapshotNotice, store: &mut self.store };
        for effect in turn(&mut seat, self.now, ()) {
            if let Effect::Send(envelope) = effect {
                self.mail.push_back(*envelope);
            }
        }
    }

    pub(crate) fn pending(&self, request: u32) -> PendingRequest {
        let mut chainer = Chainer::new(&Seed::default(), 9);
        chainer.update(&request.to_le_bytes());
        chainer.update(&[b'p'; BLOCK_BYTES / 2]);
        let request_of = InferenceRequest {
            chain: chainer.finish(),
            priority: self.priority,
            ..InferenceRequest::default()
        };
        PendingRequest {
            id: RequestId(request),
            request: request_of,
            flow: FlowKey { priority: self.priority, ..FlowKey::default() },
            bytes: 100,
            ttl: None,
            slo_ttft: None,
        }
    }

    /// A request arrives at a worker, later than all before.
    pub(crate) fn arrive(&mut self, worker: u32, request: u32) -> String {
        self.pass(Duration::from_millis(1));
        let pending = self.pending(request);
        self.tell(worker, Input::Arrived(Box::new(pending)))
    }

    /// A worker hears of the configuration.
    pub(crate) fn configure(&mut self, worker: u32) {
        let configured = Input::Configured(Box::new(self.config.clone()));
        assert_eq!(self.tell(worker, configured), "");
    }

    /// Runs an input and what follows from it; what the worker asks for.
    pub(crate) fn tell(&mut self, worker: u32, input: Input) -> String {
        let (told, following) = self.tell_first(worker, input);
        self.tell_all(worker, told, following)
    }

    /// Runs an input without what follows from it, which the host does last.
    pub(crate) fn tell_first(&mut self, worker: u32, input: Input) -> (Vec<String>, Vec<Input>) {
        let party = &mut self.workers[worker as usize - 1];
        let effects = turn(&mut Seat { party, store: &mut self.store }, self.now, input);
        self.carry_out_first(worker, effects)
    }

    pub(crate) fn carry_out(&mut self, worker: u32, effects: Vec<Effect>) -> String {
        let (told, following) = self.carry_out_first(worker, effects);
        self.tell_all(worker, told, following)
    }

    fn tell_all(&mut self, worker: u32, mut told: Vec<String>, following: Vec<Input>) -> String {
        let following = following.into_iter().map(|input| self.tell(worker, input));
        told.extend(following.filter(|it| !it.is_empty()));
        told.join("; ")
    }

    /// The events of an entry of the event ring.
    pub(crate) fn entry(&self, position: u64) -> String {
        of_events(self.store.entry(position))
    }

    fn carry_out_first(&mut self, worker: u32, effects: Vec<Effect>) -> (Vec<String>, Vec<Input>) {
        let mut told = Vec::new();
        let mut inputs = Vec::new();
        for effect in effects {
            match effect {
                Effect::Then(input) => inputs.push(*input),
                Effect::Publish { position, events } => {
                    told.push(format!("publish {position}{}", of_events(&events)));
                    self.store.publish(position, events);
                }
                Effect::Send(envelope) => {
                    told.push(format!("to {}: {}", envelope.to.0, of_message(&envelope.message)));
                    if let Message::Submit { tickets, .. } = &envelope.message {
                        self.last_ticket = tickets.last().cloned();
                    }
                    self.mail.push_back(*envelope);
                }
                Effect::Decide(decision) => {
                    told.push(format!("{} {}", decision.request.0, of_result(&decision.result)));
                }
                Effect::Evict { request } => told.push(format!("{} is evicted", request.0)),
                Effect::ShowHeartbeat => {
                    let worker = &self.workers[worker as usize - 1];
                    self.store.show(worker.id(), worker.heartbeat().clone());
                    told.push("heartbeat".to_owned());
                }
                Effect::RemoveHeartbeat { worker, beats } => {
                    self.store.remove_heartbeat(worker, beats);
                    told.push(format!("{} is dead", worker.0));
                }
                Effect::TickSoon => told.push("tick soon".to_owned()),
                Effect::ReportUnreadable(_) | Effect::ReportContended | Effect::ReportRecount => {
                    told.push(format!("{effect:?}"));
                }
                Effect::ShowPool(_) => (),
            }
        }
        (told, inputs)
    }

    /// The next message is heard; what its receiver asks for then.
    pub(crate) fn hear_one(&mut self) -> String {
        let Some(Envelope { to, message }) = self.mail.pop_front() else { return String::new() };
        let inputs = Input::from_message(message);
        let told = inputs.into_iter().map(|input| self.tell(to.0, input));
        let told: Vec<String> = told.filter(|it| !it.is_empty()).collect();
        if told.is_empty() { String::new() } else { format!("{}: {}", to.0, told.join("; ")) }
    }

    /// All messages that are under way are lost.
    pub(crate) fn lose_all(&mut self) {
        self.mail.clear();
    }

    /// So many seconds pass, in which these workers tick as idle ones do and all messages are heard.
    pub(crate) fn live(&mut self, seconds: u32, workers: &[u32]) -> String {
        let mut told = String::new();
        for _ in 0..seconds {
            self.pass(Duration::from_secs(1));
            for worker in workers {
                told += &format!("{worker}: {}\n", self.tell(*worker, Input::Tick));
            }
            told += &self.hear_all();
        }
        told
    }

    /// So many seconds pass, in which these workers tick as busy ones do and all messages are heard: the
    /// arbiter's lease never lapses.
    pub(crate) fn live_busily(&mut self, seconds: u32, workers: &[u32]) -> String {
        let mut told = String::new();
        for _ in 0..seconds * 50 {
            self.pass(Duration::from_millis(20));
            for worker in workers {
                told += &format!("{worker}: {}\n", self.tell(*worker, Input::Tick));
            }
            told += &self.hear_all();
        }
        told
    }

    /// The message that was sent last is heard before the others.
    pub(crate) fn hear_last(&mut self) -> String {
        self.mail.rotate_right(1);
        self.hear_one()
    }

    /// All messages are heard, and those that follow from them.
    pub(crate) fn hear_all(&mut self) -> String {
        let mut told = Vec::new();
        while !self.mail.is_empty() {
            told.push(self.hear_one());
        }
        told.retain(|it| !it.is_empty());
        told.join("\n")
    }
}

fn of_events(events: &[PlacementEvent]) -> String {
    let name = |event: &PlacementEvent| match event.verdict {
        EventKind::Placed => " placed",
        EventKind::Withdrawn => " withdrawn",
        EventKind::Failed(_) => " failed",
        EventKind::Broke(_) => " broke",
        EventKind::Used => " used",
        EventKind::Served => " served",
        EventKind::Bound(_) => " bound",
        EventKind::Kept(_) => " kept",
    };
    events.iter().map(name).collect()
}

fn of_message(message: &Message) -> String {
    let list = |name: &str, ids: Vec<String>| format!("{name} {}", ids.join(" "));
    match message {
        Message::Submit { tickets, .. } => {
            list("submit", tickets.iter().map(|it| it.id.request.to_string()).collect())
        }
        Message::Grant { requests, .. } => {
            list("grant", requests.iter().map(|it| it.0.to_string()).collect())
        }
        Message::Cancel { request, .. } => format!("cancel {}", request.0),
        Message::Reject { request, rejection, .. } => {
            format!("reject {} {:?}", request.0, rejection.outcome)
        }
        Message::Wake => "wake".to_owned(),
        Message::Evict { below, .. } => format!("evict below {}", below.0),
        Message::Evicted => "evicted".to_owned(),
        Message::Charge { .. } | Message::Correct { .. } => format!("{message:?}"),
    }
}

fn of_result(result: &AdmissionResult) -> String {
    match result {
        AdmissionResult::Sent(result) => format!("goes to {}", result.ranked[0]),
        AdmissionResult::Held => "is held".to_owned(),
        AdmissionResult::FailedOpen => "goes on without an endpoint".to_owned(),
        AdmissionResult::Refused(why) => format!("is refused: {why:?}"),
        AdmissionResult::Rejected(it) => format!("is rejected: {:?}", it.outcome),
        AdmissionResult::Shed => "is shed".to_owned(),
    }
}
