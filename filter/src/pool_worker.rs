//! One pool in one VM: what all streams of all plugin instances for that pool share.
//!
//! It outlives a plugin instance: a change of the configuration makes a new one in the same VM,
//! which takes over what the earlier one held, sent and knew.

mod clock;
mod mailbox;
mod news;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

use picker_core::{
    End, Event, InferenceRequest, Instant, Models, RequestId, ResponseClass, Rewritten, Scheduler,
    SchedulingResult,
    flow::{FlowConfig, FlowKey, Outcome, Priority, Ticket, TicketId},
    ledger::{Ledger, WorkerId},
    workers::{
        Admission, AdmissionResult, Answered, Capacity, CapacitySource, QueueId, SharedLedger,
        Target, WorkerPeer,
    },
};
use wire::{config::PoolConfig, response::LoadReport};

use crate::{
    flow_stats::FlowStats,
    host, outbox,
    shared_store::{SharedLedgerCell, SharedStore, WorkerRegistry},
    stats::PoolStats,
};

/// How often to look at the clock while requests wait: a request waits at most its time to live and
/// this much more. Envoy rounds it up to a multiple of 4 ms.
const BUSY_TICK: Duration = Duration::from_millis(20);

/// How often to show a sign of life otherwise. Five of these missed are a dead worker.
const IDLE_TICK: Duration = Duration::from_secs(1);

thread_local! {
    /// The pools of this VM.
    static NODES: RefCell<BTreeMap<String, Rc<PoolWorker>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Asks for the ticks that the busiest of these pools needs, in the plugin instance that Envoy acts
/// on.
pub(crate) fn set_tick_period<'a>(mut nodes: impl Iterator<Item = &'a PoolWorker>) {
    let is_busy = nodes.any(|node| node.member.borrow().is_busy());
    host::set_tick_period(if is_busy { BUSY_TICK } else { IDLE_TICK });
}

/// One pool, as this VM takes part in it.
pub(crate) struct PoolWorker {
    ledger: SharedLedgerCell,
    board: RefCell<SharedStore>,
    roll: WorkerRegistry,
    scheduler: RefCell<Scheduler>,
    models: RefCell<Models>,
    member: RefCell<WorkerPeer>,
    waiting: RefCell<BTreeMap<RequestId, Waiting>>,
    queue: u32,
    stats: FlowStats,
    pool_stats: PoolStats,
    enlisted: Cell<bool>,
    /// Whether tenants are charged for what their requests cost.
    charges: Cell<bool>,
    /// Whether this worker looks at the clock often.
    is_busy: Cell<bool>,
    /// Whether it was the arbiter at its last tick.
    keeps_queues: Cell<bool>,
    /// A snapshot that does not decode is logged once, not per request.
    snapshot_is_bad: Cell<bool>,
    /// The priorities of the configured objectives.
    configured: RefCell<Vec<Priority>>,
    /// The priorities that the member knows of, those of the snapshot included.
    provisioned: RefCell<Vec<Priority>>,
    /// A snapshot came since then.
    snapshot_is_new: Cell<bool>,
    /// Any snapshot has come.
    knows_snapshot: Cell<bool>,
}

/// A request to be placed.
pub(crate) struct PendingRequest {
    /// Which one.
    pub(crate) request: RequestId,
    /// What it wants.
    pub(crate) ask: InferenceRequest,
    /// Whose it is.
    pub(crate) flow: FlowKey,
    /// Bytes that Envoy holds for it.
    pub(crate) bytes: u64,
    /// How long it may wait, if the client says.
    pub(crate) ttl: Option<Duration>,
    /// When its first token is wanted, if the client says.
    pub(crate) slo_ttft: Option<Duration>,
    /// Whom to tell if it has to wait.
    pub(crate) stream: Rc<dyn HeldStream>,
}

/// How a response began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseStart {
    /// The endpoint that Envoy has it from; `None` where Envoy does not say.
    pub(crate) served_by: Option<SocketAddr>,
    /// What its status says of that one.
    pub(crate) answer: ResponseClass,
}

/// A stream that waits. Called while Envoy acts on it.
pub(crate) trait HeldStream {
    /// It goes.
    fn go(&self, arrival: AdmissionResult<SchedulingResult>, waited: Duration);
}

/// What a waiting request will need.
struct Waiting {
    ask: InferenceRequest,
    since: Instant,
    stream: Rc<dyn HeldStream>,
}

impl PoolWorker {
    /// This VM's part in the configured pool, from now on with this configuration.
    pub(crate) fn configure(config: &PoolConfig) -> Rc<Self> {
        let node = NODES.with_borrow_mut(|nodes| {
            let node = nodes.entry(config.name.clone());
            Rc::clone(node.or_insert_with(|| Rc::new(Self::new(config))))
        });
        node.ledger.create();
        node.board.borrow().create();
        node.roll.create();
        // The queue wakes whoever registered it last: the earlier instance may be gone.
        let _ = host::register_queue(&queue_name(config, node.member.borrow().id()));
        let now = host::now();
        node.scheduler.borrow_mut().configure(config.scheduler.clone());
        node.member.borrow_mut().configure(now, config.flow.clone());
        node.models.borrow_mut().configure(&config.model_rewrites);
        node.charges.set(config.flow.as_ref().is_some_and(FlowConfig::charges_tokens));
        node.configured.replace(config.objectives.iter().map(|it| it.priority).collect());
        node.provision();
        node
    }

    fn new(config: &PoolConfig) -> Self {
        let id = WorkerId(host::random() | 1);
        let queue = host::register_queue(&queue_name(config, id)).unwrap_or_default();
        let member = WorkerPeer::new(id, QueueId(queue), None, host::now());
        Self {
            ledger: SharedLedgerCell::of_pool(&config.name),
            board: RefCell::new(SharedStore::of_pool(&config.name)),
            roll: WorkerRegistry::of_pool(&config.name),
            scheduler: RefCell::new(Scheduler::new(config.scheduler.clone(), host::random())),
            models: RefCell::default(),
            member: RefCell::new(member),
            waiting: RefCell::default(),
            queue,
            stats: FlowStats::of_pool(&config.name),
            pool_stats: PoolStats::of_pool(&config.name),
            enlisted: Cell::new(false),
            charges: Cell::new(false),
            is_busy: Cell::new(false),
            keeps_queues: Cell::new(false),
            snapshot_is_bad: Cell::new(false),
            configured: RefCell::default(),
            provisioned: RefCell::default(),
            snapshot_is_new: Cell::new(false),
            knows_snapshot: Cell::new(false),
        }
    }

    /// Places a request, or holds it and tells its stream later.
    pub(crate) fn place(&self, applicant: PendingRequest) -> AdmissionResult<SchedulingResult> {
        // Envoy makes VMs that never serve; only one that does is worth the others' attention.
        if !self.enlisted.replace(true) {
            self.roll.enlist(self.member.borrow().id());
        }
        let now = host::now();
        let PendingRequest { request, ask, flow, bytes, ttl, slo_ttft, stream } = applicant;
        let worker = self.member.borrow().id().0;
        let id = TicketId { worker, request: request.0 };
        let prompt_tokens = ask.tokens();
        let uncached_tokens = self.expected_tokens(&ask);
        let arrived = now;
        let ticket =
            Ticket { id, flow, bytes, prompt_tokens, uncached_tokens, arrived, ttl, slo_ttft };
        let (arrival, posts) =
            self.member
                .borrow_mut()
                .arrive(now, (&self.ledger, self), ticket, |ledger| self.admit(now, &ask, ledger));
        outbox::post(posts);
        if let AdmissionResult::Sent(decision, position) = &arrival {
            self.sent((request, now), ask, decision, *position);
        } else if matches!(arrival, AdmissionResult::Held) {
            self.waiting.borrow_mut().insert(request, Waiting { ask, since: now, stream });
            // Only the first: each one would put the next tick off.
            if !self.is_busy.replace(true) {
                host::tick_from_now(BUSY_TICK);
            }
        }
        self.write_row();
        arrival
    }

    /// What a request's tenant would be charged for its prompt, where tenants are charged.
    fn expected_tokens(&self, ask: &InferenceRequest) -> u32 {
        if self.charges.get() { self.scheduler.borrow_mut().uncached_tokens(ask) } else { 0 }
    }

    /// The priority of an objective that the newest snapshot brings, from now on with a band.
    pub(crate) fn objective(&self, name: &str) -> Option<Priority> {
        self.look_around();
        self.scheduler.borrow().objective(name)
    }

    /// Whether any model is sent as another, by the snapshot that was read last: with every request
    /// that is placed, and every second.
    pub(crate) fn rewrites(&self) -> bool {
        if !self.knows_snapshot.get() {
            self.look_around();
        }
        self.models.borrow().rewrites()
    }

    /// The rule's name and the model that a request for this one is sent to instead.
    pub(crate) fn rewrite(&self, model: Option<&str>) -> Option<(String, String)> {
        let models = self.models.borrow();
        let Rewritten { rewrite, model } = models.choose(model, host::random())?;
        Some((rewrite.to_owned(), model.to_owned()))
    }

    /// Says how a request's response began. One whose end follows at once is better told with
    /// [`Self::ended`], which reads and writes the ledger once for both.
    pub(crate) fn answered(&self, request: RequestId, begun: ResponseStart) {
        // Envoy goes down the list when an endpoint refuses: it counts where it is.
        let at = begun.served_by.map(|endpoint| (request, endpoint.into()));
        let now = host::now();
        let moved = at.is_some_and(|at| self.member.borrow_mut().moved(now, &self.ledger, at));
        let answered = self.member.borrow_mut().answered(now, &self.ledger, request);
        let Answered { counts, nudge } = answered;
        outbox::post(nudge);
        if moved || counts {
            self.write_row();
        } else {
            self.ledger.look();
        }
        self.learn_answer((request, now), begun);
    }

    /// What the other workers said before is read first: of the same prompt, which it must not undo,
    /// and of failures, which an answer ends. Right after the ledger was read.
    fn learn_answer(&self, (request, at): (RequestId, Instant), begun: ResponseStart) {
        self.catch_up(self.ledger.seen());
        let ResponseStart { served_by, answer } = begun;
        self.learn(Event::Answered { request, at, served_by, answer });
    }

    /// The first token of a streamed response came.
    pub(crate) fn first_token(&self, request: RequestId, at: Instant) {
        self.learn(Event::FirstToken { request, at });
    }

    /// All of a streamed response came, its tokens `tpot` apart.
    pub(crate) fn streamed(&self, request: RequestId, tpot: Duration) {
        self.learn(Event::Streamed { request, tpot });
    }

    /// The answer to who asks which models there are; `None` where no scraper says what is served.
    pub(crate) fn model_list(&self) -> Option<String> {
        self.look_around();
        let created = host::now().as_nanos() / 1_000_000_000;
        self.models.borrow().list().map(|models| wire::models::list(&models, created))
    }

    /// Says what the endpoint that a request went to said of itself.
    pub(crate) fn reported(&self, decision: &SchedulingResult, report: LoadReport) {
        let Some(endpoint) = decision.ranked.first().copied() else { return };
        let LoadReport { waiting, kv_usage } = report;
        let event = Event::Reported { endpoint, at: host::now(), waiting, kv_usage };
        let _ = self.scheduler.borrow_mut().handle(event);
    }

    /// Says how a request ended, and how its response began, if that was not said yet.
    pub(crate) fn ended(&self, request: RequestId, begun: Option<ResponseStart>, end: End) {
        self.waiting.borrow_mut().remove(&request);
        let now = host::now();
        let post = self.member.borrow_mut().ended(now, &self.ledger, request);
        outbox::post(post);
        self.write_row();
        // Of the same prompt or endpoint, as with an answer.
        self.catch_up(self.ledger.seen());
        if let Some(ResponseStart { served_by, answer }) = begun {
            self.learn(Event::Answered { request, at: now, served_by, answer });
        }
        self.learn(Event::Ended { request, at: now, end });
    }

    /// Charges a tenant for output tokens, if anybody waits: else there is nothing to be fair about.
    pub(crate) fn charge(&self, flow: FlowKey, tokens: u32) {
        let post = self.member.borrow().charge(&self.ledger.read(), flow, tokens);
        outbox::post(post);
    }

    /// What is chosen for a request, by all that any worker knows.
    fn admit(
        &self,
        now: Instant,
        ask: &InferenceRequest,
        ledger: &Ledger,
    ) -> Admission<SchedulingResult> {
        self.catch_up(ledger.into());
        let mut scheduler = self.scheduler.borrow_mut();
        match scheduler.decide(now, ask, ledger) {
            Ok(decision) => Admission::Send(target(&scheduler, ask, &decision), decision),
            Err(why) => Admission::Refuse(why),
        }
    }

    fn sent(
        &self,
        (request, at): (RequestId, Instant),
        ask: InferenceRequest,
        decision: &SchedulingResult,
        position: Option<u64>,
    ) {
        let event = Event::Sent { request, at, ask, decision: decision.clone() };
        let notes = self.scheduler.borrow_mut().handle(event);
        if let Some(position) = position {
            self.board.borrow_mut().post_notes(position, &notes);
        }
    }

    /// Tells the engine of an event, and the other workers what comes of it.
    fn learn(&self, event: Event) {
        if !self.scheduler.borrow().may_tell(&event) {
            let notes = self.scheduler.borrow_mut().handle(event);
            debug_assert!(notes.is_empty(), "said to have nothing to tell");
            return;
        }
        let mut position = 0;
        self.ledger.update(&mut |ledger| {
            self.catch_up((&*ledger).into());
            position = ledger.announce();
        });
        let notes = self.scheduler.borrow_mut().handle(event);
        // Even if there are none: the others wait for what was announced.
        self.board.borrow_mut().post_notes(position, &notes);
    }

    fn write_row(&self) {
        let member = self.member.borrow();
        self.roll.write_row(member.id(), member.row());
    }

    /// Counts how a request's wait ended.
    pub(crate) fn count(&self, flow: &FlowKey, outcome: Outcome, waited: Duration) {
        self.stats.count(flow, outcome, waited);
    }
}

impl CapacitySource for PoolWorker {
    fn capacity(&self, ledger: &Ledger) -> Capacity {
        self.catch_up(ledger.into());
        self.scheduler.borrow().capacity(host::now(), ledger)
    }
}

/// Tokens are not counted where nothing goes by them: each change of the ledger costs microseconds.
fn target(scheduler: &Scheduler, ask: &InferenceRequest, decision: &SchedulingResult) -> Target {
    let work = scheduler.work(decision);
    Target {
        // A decision ranks at least one; without any it could not be sent either.
        endpoint: decision.ranked.first().copied().map_or_else(Default::default, Into::into),
        prefill: decision.computed_apart().map(|prefill| prefill.endpoint.into()),
        tokens: work.tokens,
        load: scheduler.config().counts_tokens().then_some(work),
        announced: scheduler.announces(ask),
    }
}

fn queue_name(config: &PoolConfig, id: WorkerId) -> String {
    format!("llm-picker/{}/v1/{:016x}", config.name, id.0)
}
