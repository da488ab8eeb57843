//! A request on its way: what is known of it, and what becomes of it.

mod ending;

use std::{
    cell::{Cell, OnceCell, RefCell},
    rc::Rc,
    time::Duration,
};

use picker_core::{
    InferenceRequest, Instant, PickError, RequestId, SchedulingResult,
    flow::{FairnessId, FlowKey, Outcome, Priority},
    workers::AdmissionResult,
};
use proxy_wasm::types::Action;
use wire::{
    body::{Api, BodyError, Dialect, Inference},
    config::{FailureMode, Hold},
};

use crate::{
    destination,
    host::{self, Headers},
    identity::{self, Identity},
    models::Models,
    plugin_instance::PluginInstance,
    pool::Pool,
    pool_worker::{HeldStream, PendingRequest},
    refusal::Refusal,
    request_meta,
    response::Response,
    routing_headers::RoutingHeaders,
};

/// Tells vLLM how much a request matters: there, lower numbers come first.
const VLLM_PRIORITY: &str = "x-vllm-priority";

/// A request. It outlives a callback: while it is held, its pool knows it.
pub(crate) struct Request {
    pub(crate) id: RequestId,
    pub(crate) worker: Rc<PluginInstance>,
    pub(crate) phase: RefCell<Phase>,
    pub(crate) identity: RefCell<Identity>,
    hints: RefCell<RoutingHeaders>,
    /// Looked up once: what it waits by is what it is charged by, whatever snapshots say meanwhile.
    pub(crate) priority: Cell<Priority>,
    pub(crate) waited: Cell<Duration>,
    /// What has come of its response.
    pub(crate) response: RefCell<Response>,
    /// The models that it asks for and is sent to.
    pub(crate) models: RefCell<Models>,
    dialect: Cell<Dialect>,
    /// The pools that it may be for.
    candidates: RefCell<Vec<Rc<Pool>>>,
    /// The one that it is for, once that is known.
    pool: OnceCell<Rc<Pool>>,
    received_at: Cell<Instant>,
    /// Of its body.
    bytes: Cell<u64>,
    /// Whether its body may become longer: decided while headers can be written.
    may_rewrite: Cell<bool>,
    /// Whether its pool knows that it is over.
    is_over: Cell<bool>,
}

/// How far a request has come.
pub(crate) enum Phase {
    /// Its headers have not arrived.
    New,
    /// Its body is being buffered, to be read whole.
    Reading { api: Api, buffered: usize },
    /// It waits for its turn.
    Held,
    /// It is on its way to the endpoint of this decision, or past us without one.
    Sent(Option<SchedulingResult>),
    /// It was answered from here, and well.
    Answered,
    /// It was answered from here, with this error.
    Refused(&'static str),
}

impl Request {
    /// One whose headers have not arrived.
    pub(crate) fn new(worker: Rc<PluginInstance>, context_id: u32) -> Self {
        Self {
            id: RequestId(context_id),
            worker,
            phase: RefCell::new(Phase::New),
            identity: RefCell::default(),
            hints: RefCell::default(),
            priority: Cell::default(),
            waited: Cell::default(),
            response: RefCell::default(),
            models: RefCell::default(),
            dialect: Cell::default(),
            candidates: RefCell::default(),
            pool: OnceCell::new(),
            received_at: Cell::default(),
            bytes: Cell::default(),
            may_rewrite: Cell::default(),
            is_over: Cell::default(),
        }
    }

    /// Its pool, once that is known.
    pub(crate) fn pool(&self) -> Option<&Pool> {
        self.pool.get().map(|pool| &**pool)
    }

    pub(crate) fn enter(&self, phase: Phase) {
        *self.phase.borrow_mut() = phase;
    }

    /// Holds a request whose body decides; sends on all others by load, before their body.
    pub(crate) fn begin(
        self: &Rc<Self>,
        headers: &Headers,
        end_of_stream: bool,
    ) -> Result<Action, Refusal> {
        let worker = &self.worker;
        self.received_at.set(host::now());
        *self.identity.borrow_mut() = Identity::read(headers, &worker.config.identity);
        let api = request_meta::api(headers);
        self.dialect.set(api.map(Api::dialect).unwrap_or_default());
        self.candidates.replace(worker.pools.fitting(headers));
        let of_pools = self.candidates.borrow();
        let names = of_pools.iter().flat_map(|pool| pool.config.scheduler.header_names());
        self.hints.replace(RoutingHeaders::read(headers, names));
        drop(of_pools);
        if self.candidates.borrow().is_empty() {
            return Ok(self.pass());
        }
        let reads = |api: &Api| match self.candidates.borrow().as_slice() {
            // Whatever its body says, it is for that one.
            [first, ..] if first.config.matches.models.is_empty() => first.config.reads(*api),
            candidates => candidates.iter().any(|pool| pool.config.reads(*api)),
        };
        let Some(api) = api.filter(|api| !end_of_stream && reads(api)) else {
            let pool = self.settle_on(|pool| pool.config.matches.models.is_empty());
            let pool = pool.or_else(|| self.settle_on(|_| true));
            return pool.map_or_else(|| Ok(self.pass()), |pool| self.go_by_load(pool, headers));
        };
        self.check_size(request_meta::length(headers))?;
        self.prepare(headers);
        self.enter(Phase::Reading { api, buffered: 0 });
        Ok(match worker.config.envoy.way.hold() {
            Hold::StopIteration => Action::Pause,
            Hold::BufferFilter => Action::Continue,
        })
    }

    /// Sends on what needs no reading; who asks which models there are is told by us, if we know.
    fn go_by_load(self: &Rc<Self>, pool: &Pool, headers: &Headers) -> Result<Action, Refusal> {
        let header = |name| identity::last(headers, name).unwrap_or_default();
        if header(":method") == b"GET"
            && wire::models::is_asked_for(header(":path"))
            && let Some(list) = pool.node.model_list()
        {
            host::reply(200, vec![("content-type", "application/json")], list.as_bytes());
            self.enter(Phase::Answered);
            return Ok(Action::Pause);
        }
        self.place(pool, InferenceRequest::default(), 0)
    }

    /// Does to the headers what can't be done any more once the body is there.
    fn prepare(&self, headers: &Headers) {
        let candidates = self.candidates.borrow();
        let named = self.identity.borrow().model_rewrite.is_some();
        self.may_rewrite.set(named || candidates.iter().any(|pool| pool.node.rewrites()));
        if self.worker.config.envoy.way.hold() == Hold::StopIteration {
            return;
        }
        // The buffer filter counts anew what goes on.
        if self.may_rewrite.get() && identity::last(headers, request_meta::LENGTH).is_some() {
            host::remove_request_header(request_meta::LENGTH);
        }
        if let Some(pool) = candidates.iter().find(|pool| pool.config.propagate_priority) {
            self.look_up_priority(pool);
            self.propagate_priority();
        }
    }

    /// The body is whole: places the request by its prompt.
    pub(crate) fn decide(self: &Rc<Self>, api: Api, size: usize) -> Result<Action, Refusal> {
        let mut body = host::request_body(size);
        let video = self.identity.borrow().video;
        let inference = wire::body::scan(&body, api, video).map_err(Refusal::Body)?;
        let model = inference.model.as_deref();
        let Some(pool) = self.settle_on(|pool| pool.config.matches.fits_model(model)) else {
            return Ok(self.pass());
        };
        let rewritten = self.rewritten(pool, &inference);
        let sent = rewritten.as_deref().or(model).unwrap_or_default();
        if sent.is_empty() && api.needs_model() {
            return Err(Refusal::Body(BodyError::NoModel));
        }
        let ask = inference.ask(api, sent, pool.config.prompt_blocks_max);
        let models = Models { asked: model.unwrap_or_default().to_owned(), sent: sent.to_owned() };
        if models.asked != models.sent {
            let place = inference.place.clone();
            place.put(&mut body, &models.sent);
            self.replace_body(size, &body);
        }
        self.models.replace(models);
        self.place(pool, ask, size)
    }

    /// The model that takes the place of the one that is named, by the request's own header or by
    /// the pool's rewrites.
    fn rewritten(&self, pool: &Pool, inference: &Inference<'_>) -> Option<String> {
        if !self.may_rewrite.get() {
            return None;
        }
        let named = self.identity.borrow().model_rewrite.clone();
        let asked = inference.model.as_deref();
        named.or_else(|| {
            let (rewrite, sent) = pool.node.rewrite(asked)?;
            let requests = &self.worker.stats.requests;
            requests.count_rewrite(&rewrite, asked.unwrap_or_default(), &sent);
            Some(sent)
        })
    }

    fn replace_body(&self, size: usize, body: &[u8]) {
        host::set_request_body(size, body);
        if self.worker.config.envoy.way.hold() == Hold::StopIteration {
            host::set_request_header(request_meta::LENGTH, &body.len().to_string());
        }
    }

    /// The first candidate of which this is true, from now on its pool.
    fn settle_on(&self, is_it: impl Fn(&Pool) -> bool) -> Option<&Pool> {
        let candidates = self.candidates.take();
        let found = candidates.iter().find(|pool| is_it(pool));
        if let Some(pool) = found {
            return Some(self.pool.get_or_init(|| Rc::clone(pool)));
        }
        self.candidates.replace(candidates);
        None
    }

    fn place(
        self: &Rc<Self>,
        pool: &Pool,
        ask: InferenceRequest,
        size: usize,
    ) -> Result<Action, Refusal> {
        self.look_up_priority(pool);
        if pool.config.propagate_priority
            && self.worker.config.envoy.way.hold() == Hold::StopIteration
        {
            self.propagate_priority();
        }
        let identity = self.identity.borrow();
        let mut ask = self.hints.take().complete(ask, identity.slo_ttft);
        ask.subset.clone_from(&identity.subset);
        ask.priority = self.priority.get();
        let bytes = u64::try_from(size).unwrap_or(u64::MAX);
        self.bytes.set(bytes);
        let applicant = PendingRequest {
            request: self.id,
            ask,
            flow: self.flow(),
            bytes,
            ttl: identity.ttl,
            slo_ttft: identity.slo_ttft,
            stream: Rc::clone(self) as Rc<dyn HeldStream>,
        };
        self.settle(pool.node.place(applicant))
    }

    /// Lets a request go on that is not for any pool.
    fn pass(&self) -> Action {
        self.enter(Phase::Sent(None));
        Action::Continue
    }

    /// Does what became of the request, but for the answer to one that is refused.
    fn settle(&self, arrival: AdmissionResult<SchedulingResult>) -> Result<Action, Refusal> {
        let PluginInstance { config, stats, .. } = &*self.worker;
        match arrival {
            AdmissionResult::Sent(decision, _) => {
                destination::write(config.envoy.way.destination(), &decision);
                stats.picked.increment();
                self.count(Outcome::Dispatched);
                self.enter(Phase::Sent(Some(decision)));
                Ok(Action::Continue)
            }
            AdmissionResult::Held => {
                self.enter(Phase::Held);
                Ok(Action::Pause)
            }
            // An empty pool is known to be empty: there is nothing that could serve the request.
            AdmissionResult::Refused(PickError::NoSnapshot)
                if config.failure_mode == FailureMode::FailOpen =>
            {
                stats.failed_open.increment();
                Ok(self.pass())
            }
            AdmissionResult::Refused(why) => Err(Refusal::PickError(why)),
            AdmissionResult::Rejected(outcome) => {
                self.count(outcome);
                Err(Refusal::Flow(outcome))
            }
            AdmissionResult::Shed => Err(Refusal::Shed),
        }
    }

    pub(crate) fn refuse(&self, refusal: &Refusal) {
        let code = refusal.send(self.dialect.get(), &self.worker.stats);
        self.enter(Phase::Refused(code));
    }

    fn look_up_priority(&self, pool: &Pool) {
        let identity = self.identity.borrow();
        let objectives = &pool.config.objectives;
        self.priority.set(identity.priority(objectives, |name| pool.node.objective(name)));
    }

    fn propagate_priority(&self) {
        let vllm = -i64::from(self.priority.get().0);
        host::set_request_header(VLLM_PRIORITY, &vllm.to_string());
    }

    pub(crate) fn flow(&self) -> FlowKey {
        let identity = self.identity.borrow();
        let id = identity.fairness_id.as_deref().map(FairnessId::new).unwrap_or_default();
        FlowKey { id, priority: self.priority.get() }
    }

    pub(crate) fn check_size(&self, bytes: u64) -> Result<(), Refusal> {
        let limit = self.worker.config.envoy.max_body_bytes;
        if bytes > limit { Err(Refusal::TooLarge { limit }) } else { Ok(()) }
    }

    fn count(&self, outcome: Outcome) {
        if let Some(pool) = self.pool().filter(|pool| pool.config.flow.is_some()) {
            pool.node.count(&self.flow(), outcome, self.waited.get());
        }
    }
}

impl HeldStream for Request {
    fn go(&self, arrival: AdmissionResult<SchedulingResult>, waited: Duration) {
        self.waited.set(waited);
        match self.settle(arrival) {
            Ok(_) => host::resume_request(),
            Err(refusal) => self.refuse(&refusal),
        }
    }
}
