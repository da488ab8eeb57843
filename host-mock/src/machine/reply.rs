//! Answers of Envoy itself, and resets.

use super::{Frame, Last, Machine, Part, filter::failed};
use crate::exchange::{Direction, ExchangeRef, LocalReply, Phase, Response, Side};

impl Machine {
    /// Answers a stream as Envoy's `FilterManager::sendLocalReply` does: through the filter chain
    /// when nothing was answered yet, straight to the client when an answer is stuck in the chain,
    /// with a reset when the client has the headers.
    pub(super) fn reply(&mut self, stream: ExchangeRef, reply: LocalReply) {
        let mut exchange = stream.borrow_mut();
        if exchange.phase >= Phase::Logging {
            return;
        }
        exchange.flags |= reply.flags;
        // A stream with a dead filter says 503, whatever Envoy wanted to say.
        let dead = exchange.context != 0 && self.is_vm_dead(&exchange);
        let reply = if dead { failed() } else { reply };
        if !reply.details.is_empty() {
            exchange.details = Some(reply.details.clone());
        }
        if exchange.client.is_some() {
            drop(exchange);
            return self.stack.push(Frame::Reset(stream));
        }
        let headers = headers(&reply);
        if exchange.phase == Phase::Replied || !exchange.response.headers.is_empty() {
            exchange.response.headers = headers.clone();
            exchange.client = Some(Response {
                status: reply.status,
                headers,
                body: reply.body,
                trailers: None,
                complete: true,
            });
            drop(exchange);
            return self.stack.push(Frame::Finish(stream, Last::Log));
        }
        exchange.phase = Phase::Replied;
        let end = reply.body.is_empty();
        exchange.response = Direction::new(headers, end);
        drop(exchange);
        if !end {
            let data = Part::Data { bytes: reply.body, end: true };
            self.stack.push(Frame::Arrive(stream.clone(), Side::Response, data));
        }
        self.stack.push(Frame::Arrive(stream, Side::Response, Part::Headers { end }));
    }

    /// Ends the stream without (the rest of) an answer.
    pub(super) fn reset(&mut self, stream: ExchangeRef) {
        if stream.borrow().phase < Phase::Logging {
            stream.borrow_mut().reset = true;
            self.stack.push(Frame::Finish(stream, Last::Log));
        }
    }
}

fn headers(reply: &LocalReply) -> crate::headers::HeaderMap {
    let mut headers = crate::headers::HeaderMap::new();
    headers.add(":status", reply.status.to_string());
    if !reply.body.is_empty() {
        headers.add("content-length", reply.body.len().to_string());
        headers.add("content-type", "text/plain");
    }
    for (name, value) in reply.headers.iter() {
        // Envoy's own content type gives way; everything else is added beside what is there.
        match name {
            "content-type" => headers.set(name, value),
            _ => headers.add(name, value),
        }
    }
    headers
}
