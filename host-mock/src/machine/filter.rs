//! A message passing the filter, as Envoy's FilterManager and proxy-wasm's Context do it together.

use super::{Frame, LatePart, Machine, Part, Verdict};
use crate::{
    exchange::{ExchangeRef, Hold, Iteration, LocalReply, Phase, Side, View},
    plugin::FailPolicy,
    vm::Returned,
    vm_state::Deferred,
};

/// The way of a part: shown to the filter, past it, or not at all.
enum Gate {
    Filter,
    Bypass,
    Closed,
}

impl Machine {
    /// Brings a part to the filter.
    pub(super) fn arrive(&mut self, stream: ExchangeRef, side: Side, part: Part) {
        if !stream.borrow().flows(side) {
            return;
        }
        stream.borrow_mut().side_mut(side).ended |= part.ends();
        let Some(part) = keep_back(&stream, side, part) else { return };
        match self.gate(&stream, side) {
            Gate::Bypass => self.bypass(&stream, side, part),
            Gate::Closed => self.stack.push(Frame::Reply(stream, failed())),
            Gate::Filter => self.show(stream, side, part),
        }
    }

    fn bypass(&mut self, stream: &ExchangeRef, side: Side, part: Part) {
        stream.borrow_mut().side_mut(side).headers_hold = Hold::Gone;
        self.stack.push(Frame::Forward(stream.clone(), side, part));
    }

    /// Calls the filter with a part.
    fn show(&mut self, stream: ExchangeRef, side: Side, part: Part) {
        let Some((part, args)) = self.expose(&stream, side, part) else { return };
        let returned = self.call_filter(&stream, callback(side, &part), &args);
        if self.is_vm_dead(&stream.borrow()) {
            stream.borrow_mut().side_mut(side).chunk.clear();
            // The stream that it died in gets 503 whatever the policy.
            return self.stack.push(Frame::Reply(stream, failed()));
        }
        if side == Side::Response
            && matches!(part, Part::Data { .. })
            && self.answers_another(&stream)
        {
            return self.crash("a local reply to another stream from on_http_response_body");
        }
        let verdict = verdict(returned, &part, stream.borrow().plugin.stop_iteration);
        self.stack.push(Frame::Judge(stream.clone(), side, part, verdict));
        self.push_drain(&stream.borrow());
    }

    /// Makes a part visible to the filter and gives the callback's arguments after the context.
    fn expose(&mut self, stream: &ExchangeRef, side: Side, part: Part) -> Option<(Part, Vec<u32>)> {
        let limit = self.options.buffer_limit;
        let mut exchange = stream.borrow_mut();
        let direction = exchange.side_mut(side);
        match part {
            Part::Headers { end } => {
                direction.headers_hold = Hold::Held;
                let args = vec![count(direction.headers.len()), end.into()];
                Some((Part::Headers { end }, args))
            }
            Part::Data { bytes, end } => {
                direction.chunk = bytes;
                if direction.view == View::Whole {
                    let chunk = std::mem::take(&mut direction.chunk);
                    let kept = std::mem::take(&mut direction.kept);
                    if !kept.is_empty() {
                        direction.buffer(&kept);
                    }
                    if direction.buffer(&chunk) > limit {
                        drop(exchange);
                        self.stack.push(Frame::Reply(stream.clone(), too_large(side)));
                        return None;
                    }
                }
                let args = vec![count(direction.body().len()), end.into()];
                Some((Part::Data { bytes: Vec::new(), end }, args))
            }
            Part::Trailers => {
                direction.trailers_hold = Hold::Held;
                let len = direction.trailers.as_ref().map_or(0, crate::headers::HeaderMap::len);
                Some((Part::Trailers, vec![count(len)]))
            }
        }
    }

    /// Does what the verdict on a part says.
    pub(super) fn judge(&mut self, stream: ExchangeRef, side: Side, part: Part, verdict: Verdict) {
        if !stream.borrow().flows(side) {
            return;
        }
        match part {
            Part::Headers { end } => self.judge_headers(stream, side, end, verdict),
            Part::Data { end, .. } => self.judge_data(stream, side, end, verdict),
            Part::Trailers => self.judge_trailers(stream, side, verdict),
        }
    }

    fn judge_headers(&mut self, stream: ExchangeRef, side: Side, end: bool, verdict: Verdict) {
        let mut exchange = stream.borrow_mut();
        let direction = exchange.side_mut(side);
        match verdict {
            Verdict::Stop => direction.iteration = Iteration::Single,
            Verdict::StopAll => direction.iteration = Iteration::All,
            Verdict::Continue => {
                if direction.release_headers() {
                    drop(exchange);
                    self.stack.push(Frame::Forward(stream, side, Part::Headers { end }));
                }
            }
        }
    }

    fn judge_data(&mut self, stream: ExchangeRef, side: Side, end: bool, verdict: Verdict) {
        let (limit, late) = (self.options.buffer_limit, self.options.late_part);
        let mut exchange = stream.borrow_mut();
        let direction = exchange.side_mut(side);
        let chunk = std::mem::take(&mut direction.chunk);
        let is_late = direction.view == View::Whole && direction.iteration == Iteration::Going;
        direction.view = View::Chunk;
        let next = match verdict {
            Verdict::Continue if direction.iteration == Iteration::Single => {
                direction.buffer(&chunk);
                Some(Frame::Continue(stream.clone(), side))
            }
            Verdict::Continue => {
                let mut bytes = direction.buffered.take().unwrap_or_default();
                if is_late && late == LatePart::Lost {
                    bytes.clear();
                }
                bytes.extend(chunk);
                Some(Frame::Forward(stream.clone(), side, Part::Data { bytes, end }))
            }
            Verdict::Stop => {
                direction.iteration = Iteration::Single;
                direction.view = View::Whole;
                let full = direction.buffer(&chunk) > limit;
                full.then(|| Frame::Reply(stream.clone(), too_large(side)))
            }
            Verdict::StopAll => {
                direction.iteration = Iteration::Single;
                if end {
                    direction.buffer(&[]);
                }
                None
            }
        };
        drop(exchange);
        self.stack.extend(next);
    }

    fn judge_trailers(&mut self, stream: ExchangeRef, side: Side, verdict: Verdict) {
        let mut exchange = stream.borrow_mut();
        let direction = exchange.side_mut(side);
        let next = match (verdict, direction.iteration) {
            (Verdict::Continue, Iteration::Going) => {
                direction.trailers_hold = Hold::Gone;
                Some(Frame::Forward(stream.clone(), side, Part::Trailers))
            }
            (Verdict::Continue, Iteration::Single | Iteration::All) => {
                direction.trailers_hold = Hold::Gone;
                Some(Frame::Continue(stream.clone(), side))
            }
            (Verdict::Stop | Verdict::StopAll, _) => {
                direction.iteration = Iteration::Single;
                None
            }
        };
        drop(exchange);
        self.stack.extend(next);
    }

    /// Lets everything go that was held back. A part that StopAll kept from the filter passes it
    /// first.
    pub(super) fn resume(&mut self, stream: ExchangeRef, side: Side) {
        let mut exchange = stream.borrow_mut();
        if !exchange.flows(side) {
            return;
        }
        let direction = exchange.side_mut(side);
        if direction.iteration == Iteration::Going && direction.headers_hold == Hold::Gone {
            return;
        }
        let unseen = direction.iteration == Iteration::All;
        direction.iteration = Iteration::Going;
        let frame = |part| match unseen {
            true => Frame::Arrive(stream.clone(), side, part),
            false => Frame::Forward(stream.clone(), side, part),
        };
        let ended = direction.ended;
        let trailers = direction.trailers.is_some();
        let buffered = direction.buffered.take();
        if self.options.late_part == LatePart::Repeated && !unseen {
            direction.kept = buffered.clone().unwrap_or_default();
        }
        let end = ended && buffered.is_none() && !trailers;
        // The frame that is pushed last runs first: headers go before the body, and it before the trailers.
        if trailers {
            self.stack.push(frame(Part::Trailers));
        }
        if let Some(bytes) = buffered {
            self.stack.push(frame(Part::Data { bytes, end: ended && !trailers }));
        }
        if direction.release_headers() {
            let headers = Part::Headers { end };
            self.stack.push(Frame::Forward(stream.clone(), side, headers));
        }
    }

    /// Decides how a stream's part meets the filter.
    fn gate(&self, stream: &ExchangeRef, side: Side) -> Gate {
        let stream = stream.borrow();
        let replied = side == Side::Response && stream.phase == Phase::Replied;
        match stream.plugin.fail_policy {
            _ if self.is_filtered(&stream) => Gate::Filter,
            FailPolicy::Open => Gate::Bypass,
            FailPolicy::Close | FailPolicy::Reload if replied => Gate::Bypass,
            FailPolicy::Close | FailPolicy::Reload => Gate::Closed,
        }
    }

    /// True if the callback that just returned sent a local reply to a stream other than its own.
    fn answers_another(&self, stream: &ExchangeRef) -> bool {
        let Some(vm) = self.vm_of(&stream.borrow()) else { return false };
        let state = vm.state.borrow();
        state.deferred.iter().any(|action| match action {
            Deferred::Reply(target, _) => !std::rc::Rc::ptr_eq(target, stream),
            Deferred::Continue(..) | Deferred::Close(_) => false,
        })
    }
}

impl Part {
    const fn ends(&self) -> bool {
        match self {
            Self::Headers { end } | Self::Data { end, .. } => *end,
            Self::Trailers => true,
        }
    }
}

/// Keeps a part back after a StopAll, which shows the filter nothing more; reads stop at the
/// watermark, so there is no 413.
fn keep_back(stream: &ExchangeRef, side: Side, part: Part) -> Option<Part> {
    let mut exchange = stream.borrow_mut();
    let direction = exchange.side_mut(side);
    if direction.iteration != Iteration::All {
        return Some(part);
    }
    if let Part::Data { bytes, .. } = part {
        direction.buffer(&bytes);
    }
    None
}

/// Returns Envoy's answer for a filter with a dead VM.
pub(super) fn failed() -> LocalReply {
    LocalReply::new(503, "", "wasm_fail_stream", 0)
}

pub(super) fn too_large(side: Side) -> LocalReply {
    match side {
        Side::Request => LocalReply::new(413, "Payload Too Large", "request_payload_too_large", 0),
        Side::Response => {
            LocalReply::new(500, "Internal Server Error", "response_payload_too_large", 0)
        }
    }
}

const fn callback(side: Side, part: &Part) -> &'static str {
    match (side, part) {
        (Side::Request, Part::Headers { .. }) => "proxy_on_request_headers",
        (Side::Request, Part::Data { .. }) => "proxy_on_request_body",
        (Side::Request, Part::Trailers) => "proxy_on_request_trailers",
        (Side::Response, Part::Headers { .. }) => "proxy_on_response_headers",
        (Side::Response, Part::Data { .. }) => "proxy_on_response_body",
        (Side::Response, Part::Trailers) => "proxy_on_response_trailers",
    }
}

/// Reads a callback's return value, as proxy-wasm-cpp-host's `convertVmCallResultToFilter*Status`
/// does.
const fn verdict(returned: Returned, part: &Part, stop_iteration: bool) -> Verdict {
    let headers = matches!(part, Part::Headers { .. });
    match returned.value {
        None => Verdict::Continue,
        _ if returned.stopped => Verdict::StopAll,
        Some(0) => Verdict::Continue,
        Some(1) if headers && !stop_iteration => Verdict::StopAll,
        Some(1) => Verdict::Stop,
        Some(_) => Verdict::StopAll,
    }
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
