//! One HTTP stream of a picker: held, read, placed, watched.

use std::rc::Rc;

use engine::{Ask, Decision, NoPick, RequestId};
use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};
use wire::{
    body::Api,
    config::{FailureMode, Hold},
};

use crate::{
    ask, decision_header, destination,
    host::{self, Headers},
    identity::{self, Identity},
    refusal::Refusal,
    worker::Worker,
};

/// A request on its way through.
pub(crate) struct Picker {
    worker: Rc<Worker>,
    request: RequestId,
    identity: Identity,
    phase: Phase,
}

/// How far a request has come.
enum Phase {
    /// Its headers have not arrived.
    New,
    /// Its body is being buffered, to be read whole.
    Reading { api: Api, buffered: usize },
    /// It is on its way to the endpoint of this decision, or past us without one.
    Sent(Option<Decision>),
    /// Its response has begun.
    Answered,
    /// It was answered from here.
    Refused,
}

impl Picker {
    /// The stream with this context id.
    pub(crate) fn new(worker: Rc<Worker>, context_id: u32) -> Self {
        let request = RequestId(context_id);
        Self { worker, request, identity: Identity::default(), phase: Phase::New }
    }

    /// Holds a request whose body decides; sends on all others by load, before their body.
    fn begin(&mut self, headers: &Headers, end_of_stream: bool) -> Result<Action, Refusal> {
        let path = identity::last(headers, ":path").unwrap_or_default();
        match Api::of_path(path) {
            Some(api) if !end_of_stream => {
                self.check_size(declared_length(headers))?;
                self.phase = Phase::Reading { api, buffered: 0 };
                Ok(match self.worker.config.envoy.hold {
                    Hold::StopIteration => Action::Pause,
                    Hold::BufferFilter => Action::Continue,
                })
            }
            _ => self.place(Ask::default()),
        }
    }

    /// The body is whole: places the request by its prompt.
    fn decide(&mut self, api: Api, size: usize) -> Result<Action, Refusal> {
        let bytes = host::request_body(size);
        let blocks_max = ask::blocks_max(&self.worker.config.prefix);
        let ask = ask::from_body(&bytes, api, blocks_max).map_err(Refusal::Body)?;
        self.place(ask)
    }

    fn place(&mut self, ask: Ask) -> Result<Action, Refusal> {
        match self.worker.place(self.request, ask) {
            Ok(decision) => {
                destination::write(self.worker.config.envoy.destination, &decision.ranked);
                self.worker.stats.picked.increment();
                self.phase = Phase::Sent(Some(decision));
                Ok(Action::Continue)
            }
            // An empty pool is known to be empty: there is nothing that could serve the request.
            Err(NoPick::NoSnapshot) if self.worker.config.failure_mode == FailureMode::FailOpen => {
                self.worker.stats.failed_open.increment();
                self.phase = Phase::Sent(None);
                Ok(Action::Continue)
            }
            Err(why) => Err(Refusal::NoPick(why)),
        }
    }

    fn check_size(&self, bytes: u64) -> Result<(), Refusal> {
        let limit = self.worker.config.envoy.max_body_bytes;
        if bytes > limit { Err(Refusal::TooLarge { limit }) } else { Ok(()) }
    }

    /// The one place where a request is answered from here.
    fn settle(&mut self, outcome: Result<Action, Refusal>) -> Action {
        outcome.unwrap_or_else(|refusal| {
            self.phase = Phase::Refused;
            refusal.send(&self.worker.stats);
            Action::Pause
        })
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
        self.identity = Identity::read(&headers, &self.worker.config.identity);
        let outcome = self.begin(&headers, end_of_stream);
        self.settle(outcome)
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let Phase::Reading { api, ref mut buffered } = self.phase else {
            return self.after_decision();
        };
        // While we pause, Envoy counts all that it has buffered.
        *buffered = size;
        let outcome = match self.check_size(u64::try_from(size).unwrap_or(u64::MAX)) {
            Ok(()) if end_of_stream => self.decide(api, size),
            Ok(()) => Ok(Action::Pause),
            Err(refusal) => Err(refusal),
        };
        self.settle(outcome)
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        // With trailers, no part of the body was its end.
        let Phase::Reading { api, buffered } = self.phase else { return self.after_decision() };
        let outcome = self.decide(api, buffered);
        self.settle(outcome)
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        let Phase::Sent(decision) = &self.phase else { return Action::Continue };
        let success =
            host::response_header(":status").is_some_and(|status| status.starts_with(b"2"));
        self.worker.answered(self.request, success);
        if let (true, Some(decision)) = (self.worker.config.decision_header, decision) {
            let priority = self.identity.priority(&self.worker.config.objectives);
            let text = decision_header::render(decision, &self.identity, priority);
            host::set_response_header(decision_header::NAME, &text);
        }
        self.phase = Phase::Answered;
        Action::Continue
    }

    fn on_log(&mut self) {
        if let Phase::Sent(_) = self.phase {
            self.worker.ended(self.request);
        }
    }
}

impl Picker {
    /// What happens to the rest of a request that needs no more reading.
    fn after_decision(&self) -> Action {
        match self.phase {
            Phase::Refused => Action::Pause,
            Phase::New | Phase::Reading { .. } | Phase::Sent(_) | Phase::Answered => {
                Action::Continue
            }
        }
    }
}

/// What the client says its body will be long, so that one too long is refused before it is sent.
/// More than a `usize` of wasm32 counts is a length all the same.
fn declared_length(headers: &Headers) -> u64 {
    identity::last(headers, "content-length")
        .and_then(|value| std::str::from_utf8(value).ok())
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}
