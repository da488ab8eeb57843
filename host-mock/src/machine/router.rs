//! The way past the filter: the buffer filter, the router and the client.

use super::{Frame, Last, Machine, Part, filter::too_large};
use crate::exchange::{Exchange, ExchangeRef, LocalReply, Response, Side, Upstream, flag};

impl Machine {
    pub(super) fn forward(&mut self, stream: &ExchangeRef, side: Side, part: Part) {
        if !stream.borrow().flows(side) {
            return;
        }
        if side == Side::Response {
            if to_client(&mut stream.borrow_mut(), part) {
                self.stack.push(Frame::Finish(stream.clone(), Last::Log));
            }
            return;
        }
        let max = stream.borrow().plugin.buffer_filter;
        match max {
            Some(max) => self.hold(stream, part, max),
            None => self.route(stream, part),
        }
    }

    /// Runs the buffer filter: nothing goes on before the request is whole.
    fn hold(&mut self, stream: &ExchangeRef, part: Part, max: usize) {
        let mut exchange = stream.borrow_mut();
        match part {
            Part::Headers { end: true } => {}
            Part::Headers { end: false } => return,
            Part::Data { bytes, end } => {
                exchange.held.extend(bytes);
                if exchange.held.len() > max {
                    self.stack.push(Frame::Reply(stream.clone(), too_large(Side::Request)));
                    return;
                }
                if !end {
                    return;
                }
            }
            Part::Trailers => {}
        }
        let bytes = std::mem::take(&mut exchange.held);
        let trailers = exchange.request.trailers.is_some();
        drop(exchange);
        let whole = bytes.is_empty() && !trailers;
        self.route(stream, Part::Headers { end: whole });
        if !bytes.is_empty() {
            self.route(stream, Part::Data { bytes, end: !trailers });
        }
        if trailers {
            self.route(stream, Part::Trailers);
        }
    }

    fn route(&mut self, stream: &ExchangeRef, part: Part) {
        let mut exchange = stream.borrow_mut();
        match part {
            Part::Headers { end } => {
                if !self.options.healthy_upstream {
                    let flags = flag::NO_HEALTHY_UPSTREAM;
                    let reply = ("no healthy upstream", "no_healthy_upstream");
                    let reply = LocalReply::new(503, reply.0, reply.1, flags);
                    self.stack.push(Frame::Reply(stream.clone(), reply));
                    return;
                }
                let sent = send(&exchange, end);
                exchange.upstream = Some(sent);
            }
            Part::Data { bytes, end } => {
                if let Some(upstream) = &mut exchange.upstream {
                    upstream.body.extend(bytes);
                    upstream.complete = end;
                }
            }
            Part::Trailers => {
                let trailers = exchange.request.trailers.clone();
                if let Some(upstream) = &mut exchange.upstream {
                    upstream.trailers = trailers;
                    upstream.complete = true;
                }
            }
        }
    }
}

fn send(exchange: &Exchange, complete: bool) -> Upstream {
    Upstream {
        headers: exchange.request.headers.clone(),
        complete,
        filter_state: exchange.filter_state.clone(),
        properties: exchange.properties.clone(),
        ..Upstream::default()
    }
}

/// Brings a part to the client. True if the client has all of the response.
fn to_client(exchange: &mut Exchange, part: Part) -> bool {
    let status = exchange.response.headers.text(":status").and_then(|status| status.parse().ok());
    let (headers, trailers) =
        (exchange.response.headers.clone(), exchange.response.trailers.clone());
    let client = exchange.client.get_or_insert_with(|| Response {
        status: status.unwrap_or(0),
        headers,
        ..Response::default()
    });
    match part {
        Part::Headers { end } => client.complete = end,
        Part::Data { bytes, end } => {
            client.body.extend(bytes);
            client.complete = end;
        }
        Part::Trailers => {
            client.trailers = trailers;
            client.complete = true;
        }
    }
    client.complete
}
