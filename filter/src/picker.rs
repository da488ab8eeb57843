//! One HTTP stream of a picker: held, read, placed, watched.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use engine::{
    Answer, Ask, Decision, NoPick, RequestId,
    cluster::Arrival,
    flow::{FairnessId, FlowKey, Outcome, Priority},
};
use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};
use wire::{
    body::Api,
    config::{FailureMode, Hold, PickerConfig},
    usage,
};

use crate::{
    ask, decision_header, destination,
    host::{self, Headers},
    identity::{self, Identity},
    node::{Applicant, Node, Released},
    pull::Fetcher,
    refusal::Refusal,
    stats::Stats,
};

/// How long a request was held by flow control, in milliseconds, on what was served (EPP v0.11).
const QUEUE_DURATION: &str = "x-llm-d-flow-queue-duration-ms";

/// What all streams of one plugin instance share.
pub(crate) struct Worker {
    /// What the operator configured.
    pub(crate) config: Box<PickerConfig>,
    /// What it counts.
    pub(crate) stats: Stats,
    /// Its pool.
    pub(crate) node: Rc<Node>,
    /// What fetches its snapshots, where they are not pushed.
    pub(crate) fetcher: Rc<Fetcher>,
    /// Whether tenants are charged for output tokens, so that responses have to be read.
    pub(crate) charges: bool,
}

/// A stream's context. What outlives a callback is in its request.
pub(crate) struct Picker {
    request: Rc<Request>,
}

/// A request on its way through.
struct Request {
    id: RequestId,
    worker: Rc<Worker>,
    identity: RefCell<Identity>,
    /// Looked up once: what it waits by is what it is charged by, whatever snapshots say meanwhile.
    priority: Cell<Priority>,
    phase: RefCell<Phase>,
    waited: Cell<Duration>,
    /// What is known of its response's cost.
    tail: RefCell<usage::Tail>,
}

/// How far a request has come.
enum Phase {
    /// Its headers have not arrived.
    New,
    /// Its body is being buffered, to be read whole.
    Reading { api: Api, buffered: usize },
    /// It waits for its turn.
    Held,
    /// It is on its way to the endpoint of this decision, or past us without one.
    Sent(Option<Decision>),
    /// It was answered from here.
    Refused,
}

impl Picker {
    /// The stream with this context id.
    pub(crate) fn new(worker: Rc<Worker>, context_id: u32) -> Self {
        let request = Request {
            id: RequestId(context_id),
            worker,
            identity: RefCell::default(),
            priority: Cell::default(),
            phase: RefCell::new(Phase::New),
            waited: Cell::default(),
            tail: RefCell::default(),
        };
        Self { request: Rc::new(request) }
    }

    /// Holds a request whose body decides; sends on all others by load, before their body.
    fn begin(&self, headers: &Headers, end_of_stream: bool) -> Result<Action, Refusal> {
        let request = &self.request;
        let path = identity::last(headers, ":path").unwrap_or_default();
        match Api::of_path(path) {
            Some(api) if !end_of_stream => {
                request.check_size(declared_length(headers))?;
                request.enter(Phase::Reading { api, buffered: 0 });
                Ok(match request.worker.config.envoy.hold {
                    Hold::StopIteration => Action::Pause,
                    Hold::BufferFilter => Action::Continue,
                })
            }
            _ => self.place(Ask::default(), 0),
        }
    }

    /// The body is whole: places the request by its prompt.
    fn decide(&self, api: Api, size: usize) -> Result<Action, Refusal> {
        let bytes = host::request_body(size);
        let ask = ask::from_body(&bytes, api, self.request.worker.config.prompt_blocks_max)
            .map_err(Refusal::Body)?;
        self.place(ask, size)
    }

    fn place(&self, ask: Ask, size: usize) -> Result<Action, Refusal> {
        let request = &self.request;
        request.look_up_priority();
        let identity = request.identity.borrow();
        let applicant = Applicant {
            request: request.id,
            ask,
            flow: request.flow(),
            bytes: u64::try_from(size).unwrap_or(u64::MAX),
            ttl: identity.ttl,
            slo_ttft: identity.slo_ttft,
            stream: Rc::clone(&self.request) as Rc<dyn Released>,
        };
        request.settle(request.worker.node.place(applicant))
    }

    /// The one place where a request is answered from a callback of its own.
    fn outcome(&self, outcome: Result<Action, Refusal>) -> Action {
        outcome.unwrap_or_else(|refusal| {
            self.request.refuse(&refusal);
            Action::Pause
        })
    }

    /// What happens to the rest of a request that needs no more reading.
    fn after_decision(&self) -> Action {
        match *self.request.phase.borrow() {
            Phase::Held | Phase::Refused => Action::Pause,
            Phase::New | Phase::Reading { .. } | Phase::Sent(_) => Action::Continue,
        }
    }

    /// The API and the bytes buffered so far, while the body is being read.
    fn reading(&self) -> Option<(Api, usize)> {
        match *self.request.phase.borrow() {
            Phase::Reading { api, buffered } => Some((api, buffered)),
            Phase::New | Phase::Held | Phase::Sent(_) | Phase::Refused => None,
        }
    }
}

impl Request {
    fn enter(&self, phase: Phase) {
        *self.phase.borrow_mut() = phase;
    }

    fn look_up_priority(&self) {
        let Worker { config, node, .. } = &*self.worker;
        let identity = self.identity.borrow();
        self.priority.set(identity.priority(&config.objectives, |name| node.objective(name)));
    }

    fn flow(&self) -> FlowKey {
        let identity = self.identity.borrow();
        let id = identity.fairness_id.as_deref().map(FairnessId::new).unwrap_or_default();
        FlowKey { id, priority: self.priority.get() }
    }

    fn check_size(&self, bytes: u64) -> Result<(), Refusal> {
        let limit = self.worker.config.envoy.max_body_bytes;
        if bytes > limit { Err(Refusal::TooLarge { limit }) } else { Ok(()) }
    }

    /// Does what became of the request, but for the answer to one that is refused.
    fn settle(&self, arrival: Arrival<Decision>) -> Result<Action, Refusal> {
        let Worker { config, stats, .. } = &*self.worker;
        match arrival {
            Arrival::Sent(decision, _) => {
                destination::write(config.envoy.destination, &decision.ranked);
                stats.picked.increment();
                self.count(Outcome::Dispatched);
                self.enter(Phase::Sent(Some(decision)));
                Ok(Action::Continue)
            }
            Arrival::Held => {
                self.enter(Phase::Held);
                Ok(Action::Pause)
            }
            // An empty pool is known to be empty: there is nothing that could serve the request.
            Arrival::Refused(NoPick::NoSnapshot)
                if config.failure_mode == FailureMode::FailOpen =>
            {
                stats.failed_open.increment();
                self.enter(Phase::Sent(None));
                Ok(Action::Continue)
            }
            Arrival::Refused(why) => Err(Refusal::NoPick(why)),
            Arrival::Rejected(outcome) => {
                self.count(outcome);
                Err(Refusal::Flow(outcome))
            }
            Arrival::Shed => Err(Refusal::Shed),
        }
    }

    fn refuse(&self, refusal: &Refusal) {
        self.enter(Phase::Refused);
        refusal.send(&self.worker.stats);
    }

    /// Charges the tenant for what the model wrote.
    fn charge(&self) {
        let tokens = self.tail.borrow().output_tokens();
        if tokens > 0 {
            self.worker.node.charge(self.flow(), tokens);
        }
    }

    fn count(&self, outcome: Outcome) {
        if self.worker.config.flow.is_some() {
            self.worker.node.count(&self.flow(), outcome, self.waited.get());
        }
    }

    /// Tells the client what was decided.
    fn label_response(&self, decision: &Decision) {
        if self.worker.config.flow.is_some() {
            let waited = self.waited.get().as_millis().to_string();
            host::set_response_header(QUEUE_DURATION, &waited);
        }
        if self.worker.config.decision_header {
            let text =
                decision_header::render(decision, &self.identity.borrow(), self.priority.get());
            host::set_response_header(decision_header::NAME, &text);
        }
    }
}

impl Released for Request {
    fn go(&self, arrival: Arrival<Decision>, waited: Duration) {
        self.waited.set(waited);
        match self.settle(arrival) {
            Ok(_) => host::resume_request(),
            Err(refusal) => self.refuse(&refusal),
        }
    }
}

impl Context for Picker {}

impl HttpContext for Picker {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let headers = host::request_headers();
        // A client must not choose its endpoint, nor any address that Envoy can reach.
        if identity::last(&headers, destination::HEADER).is_some() {
            host::remove_request_header(destination::HEADER);
        }
        let identity = Identity::read(&headers, &self.request.worker.config.identity);
        *self.request.identity.borrow_mut() = identity;
        self.outcome(self.begin(&headers, end_of_stream))
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let Some((api, _)) = self.reading() else { return self.after_decision() };
        // While we pause, Envoy counts all that it has buffered.
        self.request.enter(Phase::Reading { api, buffered: size });
        self.outcome(match self.request.check_size(u64::try_from(size).unwrap_or(u64::MAX)) {
            Ok(()) if end_of_stream => self.decide(api, size),
            Ok(()) => Ok(Action::Pause),
            Err(refusal) => Err(refusal),
        })
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        // With trailers, no part of the body was its end.
        let Some((api, buffered)) = self.reading() else { return self.after_decision() };
        self.outcome(self.decide(api, buffered))
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        let request = &self.request;
        let Phase::Sent(decision) = &*request.phase.borrow() else { return Action::Continue };
        request.worker.node.answered(request.id, None, answer());
        if let Some(decision) = decision {
            request.label_response(decision);
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, _: bool) -> Action {
        let request = &self.request;
        if request.worker.charges && matches!(*request.phase.borrow(), Phase::Sent(Some(_))) {
            request.tail.borrow_mut().push(&host::response_body(size));
        }
        // Never held back: the client sees each token when it comes.
        Action::Continue
    }

    fn on_log(&mut self) {
        self.request.charge();
        self.request.worker.node.ended(self.request.id);
    }
}

/// What the response's status says of who sent it; no status at all is no answer.
fn answer() -> Answer {
    let status = host::response_header(":status");
    let number = status.and_then(|status| std::str::from_utf8(&status).ok()?.parse().ok());
    number.map_or(Answer::Failed, Answer::of_status)
}

/// What the client says its body will be long, so that one too long is refused before it is sent.
/// More than a `usize` of wasm32 counts is a length all the same.
fn declared_length(headers: &Headers) -> u64 {
    identity::last(headers, "content-length")
        .and_then(|value| std::str::from_utf8(value).ok())
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}
