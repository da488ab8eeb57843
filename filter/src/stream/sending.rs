//! The response to a request that was sent, as it passes.

use std::net::SocketAddr;

use picker_core::{
    ResponseClass, ResponseStart, SchedulingResult,
    worker::{Input, Observation},
};
use wire::{debug::DebugWish, response::LoadReport};

use super::{
    Stream,
    phase::Sent,
    response::{self, Response},
};
use crate::{
    decision_header, homes,
    host::{self, Headers},
    run, session,
};

/// Time for which a request was held by flow control, in milliseconds, on what was served (EPP v0.11).
const QUEUE_DURATION: &str = "x-llm-d-flow-queue-duration-ms";

impl Stream {
    /// Takes in the beginning of a response.
    pub(super) fn respond(&self, sent: &mut Sent, end_of_stream: bool) {
        let headers = host::response_headers();
        let remove = |name: &str| {
            if self.steers() {
                host::remove_response_header(name);
            }
        };
        let report = response::take_load_report(&headers, remove);
        let mut response = Response::begin(&headers, &sent.placed.models);
        if sent.placed.asked.keeps {
            response.find_name();
        }
        let server = self.server(&headers);
        let served_by =
            server.map(|it| sent.result.as_ref().map_or(it, |result| result.reached(it)));
        sent.served_by = served_by;
        if let Some(report) = report {
            report_load(sent, report);
        }
        if let Some(moved) = sent.moved_to(served_by)
            && let Some(in_flight) = &mut sent.in_flight
        {
            in_flight.move_to(&sent.placed.pool, moved, &sent.placed.flow);
        }
        let class = response.class(|| sent.placed.asked.identity.client());
        let start = ResponseStart { served_by, class };
        if end_of_stream {
            response.end();
        }
        if end_of_stream || response.begins_later(&headers) {
            // Engines send the headers of a stream while its prompt still waits to be computed. Of what is
            // there at once, one change of the ledger serves both beginning and end.
            response.start = Some(start);
            self.tell_reroute(sent, served_by);
        } else {
            let input = Input::Responded { request: self.id, start };
            run::tell(&sent.placed.pool, input);
        }
        sent.response = response;
        if let Some(result) = &sent.result {
            self.label_response(sent, result);
            // An endpoint that failed has served nothing: the client keeps the token that it has.
            if self.steers()
                && !matches!(class, ResponseClass::Failed(_))
                // Where Envoy does not say which it was, the request was sent to the first.
                && let Some(server) = served_by.or_else(|| result.ranked.first().copied())
            {
                session::seal(&sent.placed.pool, server, result.prefiller());
            }
        }
        if end_of_stream {
            self.finish(sent);
        }
    }

    /// Returns the endpoint that the response came from; `None` where Envoy answered by itself.
    pub(super) fn server(&self, headers: &Headers) -> Option<SocketAddr> {
        let told = self.instance.config.envoy.served_by_header.as_deref();
        // Behind what an endpoint may have said itself stands what Envoy added.
        let told =
            told.and_then(|name| std::str::from_utf8(headers.last(name)?).ok()?.parse().ok());
        told.or_else(host::upstream_address)
    }

    /// Tells the pool if Envoy has tried again elsewhere: the prompt is computed there.
    fn tell_reroute(&self, sent: &Sent, served_by: Option<SocketAddr>) {
        if let Some(served_by) = sent.moved_to(served_by) {
            let input = Input::Rerouted { request: self.id, served_by };
            run::tell(&sent.placed.pool, input);
        }
    }

    /// Tells the client what was decided.
    fn label_response(&self, sent: &Sent, result: &SchedulingResult) {
        let placed = &sent.placed;
        if placed.pool.config.flow.is_some() && self.steers() {
            let waited = sent.waited.as_millis().to_string();
            host::set_response_header(QUEUE_DURATION, &waited);
        }
        if self.instance.config.decision_header || self.wish.get() == Some(DebugWish::Decision) {
            let mut text =
                decision_header::render(result, &placed.asked.identity, placed.flow.priority);
            placed.asked.fell_back.iter().for_each(|way| way.push_to(&mut text));
            host::set_response_header(decision_header::NAME, &text);
        }
    }

    /// Takes in a part of a response's body.
    pub(super) fn pass_body(&self, sent: &mut Sent, size: usize, end_of_stream: bool) {
        // Nothing is counted of what was let through, but the client knows its model by its own name.
        let is_unseen = sent.result.is_none() && !sent.placed.pool.config.is_unpicked();
        if is_unseen && !sent.placed.models.are_renamed() {
            return;
        }
        let first = sent.response.pass(size, end_of_stream);
        if let Some(at) = first.filter(|_| !is_unseen) {
            if let Some(in_flight) = &mut sent.in_flight {
                in_flight.compute(&sent.placed.pool);
            }
            if let Some(start) = sent.response.start.take() {
                let input = Input::Responded { request: self.id, start };
                run::tell(&sent.placed.pool, input);
            }
            run::observe(&sent.placed.pool, Observation::FirstToken { request: self.id, at });
        }
        let made_name = sent.response.made_name.take();
        if let Some(name) = made_name.filter(|_| !is_unseen) {
            keep_name(sent, &name);
        }
        if end_of_stream {
            self.finish(sent);
        }
    }

    /// Takes in a response's trailers, behind all of its body.
    pub(super) fn pass_trailers(&self, sent: &mut Sent) {
        sent.response.end();
        let trailers = host::response_trailers();
        let remove = |name: &str| {
            if self.steers() {
                host::remove_response_trailer(name);
            }
        };
        if let Some(report) = response::take_load_report(&trailers, remove) {
            report_load(sent, report);
        }
        self.finish(sent);
    }
}

impl Sent {
    /// Returns the endpoint that answers, if it is another than the first of the list.
    fn moved_to(&self, served_by: Option<SocketAddr>) -> Option<SocketAddr> {
        let first = self.result.as_ref().and_then(|result| result.ranked.first().copied());
        served_by.filter(|server| first != Some(*server))
    }
}

/// Notes the endpoint that keeps what its answer named.
fn keep_name(sent: &Sent, name: &[u8]) {
    let first = || sent.result.as_ref()?.ranked.first().copied();
    if let Some(endpoint) = sent.served_by.or_else(first) {
        let owner = sent.placed.asked.identity.owner();
        homes::keep(&sent.placed.pool, owner, name, endpoint);
    }
}

/// Takes in what the model server says of its load with its answer.
fn report_load(sent: &Sent, report: LoadReport) {
    let first = || sent.result.as_ref()?.ranked.first().copied();
    let Some(endpoint) = sent.served_by.or_else(first) else { return };
    let LoadReport { waiting, kv_usage } = report;
    let at = host::now();
    run::observe(&sent.placed.pool, Observation::LoadReported { endpoint, at, waiting, kv_usage });
}
