//! One HTTP stream of a picker: Envoy's callbacks, in the order in which they come.

use std::{net::SocketAddr, rc::Rc};

use picker_core::{ResponseClass, SchedulingResult};
use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};
use wire::body::Api;

use crate::{
    decision_header, destination, host, identity,
    plugin_instance::PluginInstance,
    pool::Pool,
    pool_worker::ResponseStart,
    refusal::Refusal,
    request::{Phase, Request},
    response::{self, Response},
};

/// How long a request was held by flow control, in milliseconds, on what was served (EPP v0.11).
const QUEUE_DURATION: &str = "x-llm-d-flow-queue-duration-ms";

/// A stream's context. What outlives a callback is in its request.
pub(crate) struct Picker {
    request: Rc<Request>,
}

impl Picker {
    /// The stream with this context id.
    pub(crate) fn new(worker: Rc<PluginInstance>, context_id: u32) -> Self {
        Self { request: Rc::new(Request::new(worker, context_id)) }
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
            Phase::Held | Phase::Answered | Phase::Refused(_) => Action::Pause,
            Phase::New | Phase::Reading { .. } | Phase::Sent(_) => Action::Continue,
        }
    }

    /// The API and the bytes buffered so far, while the body is being read.
    fn reading(&self) -> Option<(Api, usize)> {
        match *self.request.phase.borrow() {
            Phase::Reading { api, buffered } => Some((api, buffered)),
            Phase::New | Phase::Held | Phase::Sent(_) | Phase::Answered | Phase::Refused(_) => None,
        }
    }

    /// Tells the client what was decided.
    fn label_response(&self, decision: &SchedulingResult) {
        let request = &self.request;
        if request.pool().is_some_and(|pool| pool.config.flow.is_some()) {
            let waited = request.waited.get().as_millis().to_string();
            host::set_response_header(QUEUE_DURATION, &waited);
        }
        if request.worker.config.decision_header {
            let identity = request.identity.borrow();
            let text = decision_header::render(decision, &identity, request.priority.get());
            host::set_response_header(decision_header::NAME, &text);
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
        identity::strip(&headers, &self.request.worker.config.identity);
        self.outcome(self.request.begin(&headers, end_of_stream))
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let Some((api, _)) = self.reading() else { return self.after_decision() };
        // While we pause, Envoy counts all that it has buffered.
        self.request.enter(Phase::Reading { api, buffered: size });
        self.outcome(match self.request.check_size(u64::try_from(size).unwrap_or(u64::MAX)) {
            Ok(()) if end_of_stream => self.request.decide(api, size),
            Ok(()) => Ok(Action::Pause),
            Err(refusal) => Err(refusal),
        })
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        // With trailers, no part of the body was its end.
        let Some((api, buffered)) = self.reading() else { return self.after_decision() };
        self.outcome(self.request.decide(api, buffered))
    }

    fn on_http_response_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let request = &self.request;
        let Phase::Sent(decision) = &*request.phase.borrow() else { return Action::Continue };
        let Some(pool) = request.pool() else { return Action::Continue };
        let headers = host::response_headers();
        if let Some(report) = response::take_load_report(&headers, host::remove_response_header) {
            request.reported(report);
        }
        let mut response = Response::begin(&headers, &request.models.borrow());
        let server = host::upstream_address();
        let served_by =
            server.map(|it| decision.as_ref().map_or(it, |decision| decision.reached(it)));
        let answer = response.answer(|| request.identity.borrow().client());
        let begun = ResponseStart { served_by, answer };
        if end_of_stream {
            response.end();
        }
        if end_of_stream || response.ends_at_once(&headers) {
            response.begun = Some(begun);
        } else {
            pool.node.answered(request.id, begun);
        }
        request.response.replace(response);
        if let Some(decision) = decision {
            self.label_response(decision);
            // Who failed has served nobody: the client keeps the token that it has.
            if !matches!(answer, ResponseClass::Failed(_)) {
                keep_session(pool, served_by, decision);
            }
        }
        if end_of_stream {
            request.finish();
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if matches!(*self.request.phase.borrow(), Phase::Sent(Some(_))) {
            let first = self.request.response.borrow_mut().pass(size, end_of_stream);
            if let (Some(at), Some(pool)) = (first, self.request.pool()) {
                pool.node.first_token(self.request.id, at);
            }
            if end_of_stream {
                self.request.finish();
            }
        }
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        self.request.response.borrow_mut().end();
        let trailers = host::response_trailers();
        let report = response::take_load_report(&trailers, host::remove_response_trailer);
        report.into_iter().for_each(|report| self.request.reported(report));
        self.request.finish();
        Action::Continue
    }

    fn on_log(&mut self) {
        self.request.log();
    }
}

/// Has the client's session come back to whoever served it.
fn keep_session(pool: &Pool, served_by: Option<SocketAddr>, decision: &SchedulingResult) {
    // Where Envoy does not say who it was, it was sent to the first.
    let Some(server) = served_by.or_else(|| decision.ranked.first().copied()) else { return };
    let scheduling = &pool.config.scheduler.scheduling;
    for (name, token) in scheduling.session_headers(server, decision.prefiller()) {
        host::set_response_header(name, &token);
    }
}
