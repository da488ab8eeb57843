//! A request from both ends: the acts of the client and of the upstream, and what they see.

use crate::{
    HeaderMap, Response, Upstream,
    exchange::{ExchangeRef, LocalReply, Phase, Side, flag},
    machine::MachineRef,
};

/// A stream. It lives on when this handle is dropped, as a client's request would.
pub struct Stream {
    machine: MachineRef,
    exchange: ExchangeRef,
}

/// The client's end.
impl Stream {
    /// Sends more of the request body.
    pub fn chunk(&self, bytes: &[u8]) {
        self.machine.borrow_mut().data(&self.exchange, Side::Request, bytes, false);
    }

    /// Ends the request: an empty last piece, as HTTP/1.1 with a chunked body often has it.
    pub fn end(&self) {
        self.last_chunk(&[]);
    }

    /// Sends the last piece of the body.
    pub fn last_chunk(&self, bytes: &[u8]) {
        self.machine.borrow_mut().data(&self.exchange, Side::Request, bytes, true);
    }

    /// Ends the request with trailers.
    pub fn trailers(&self, trailers: impl Into<HeaderMap>) {
        self.machine.borrow_mut().trailers(&self.exchange, Side::Request, trailers.into());
    }

    /// Ends the client's connection.
    pub fn disconnect(&self) {
        let flags = flag::DOWNSTREAM_CLOSED;
        self.machine.borrow_mut().cut(&self.exchange, "downstream_remote_disconnect", flags);
    }

    /// Returns the response that the client got, from the moment that the headers reached it.
    #[must_use]
    pub fn response(&self) -> Option<Response> {
        self.exchange.borrow().client.clone()
    }

    /// Returns the status that the client got.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.response().map(|response| response.status)
    }

    /// True if the stream was cut off before the client had a whole answer.
    #[must_use]
    pub fn was_reset(&self) -> bool {
        self.exchange.borrow().reset
    }

    /// True if the stream is over: answered, reset, or left.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.exchange.borrow().phase == Phase::Over
    }
}

/// The upstream's end.
impl Stream {
    /// Returns the request that was sent upstream; `None` while the filter (or the buffer filter)
    /// holds it.
    #[must_use]
    pub fn sent(&self) -> Option<Upstream> {
        self.exchange.borrow().upstream.clone()
    }

    /// Answers for the upstream, all at once, and says how long the answer is, as a server that has
    /// all of it does. Nothing happens while nothing was sent upstream, nor when Envoy answered in
    /// the upstream's place; this holds for every act of the upstream.
    pub fn respond(&self, status: u16, headers: impl Into<HeaderMap>, body: &[u8]) {
        let mut headers = headers.into();
        if headers.get("content-length").is_none() {
            headers.add("content-length", body.len().to_string());
        }
        self.respond_with(status, headers, body.is_empty());
        if !body.is_empty() {
            self.respond_chunk(body);
            self.respond_end();
        }
    }

    /// Sends the upstream's headers; the body is still to come.
    pub fn respond_headers(&self, status: u16, headers: impl Into<HeaderMap>) {
        self.respond_with(status, headers, false);
    }

    /// Sends more of the upstream's answer.
    pub fn respond_chunk(&self, bytes: &[u8]) {
        self.machine.borrow_mut().data(&self.exchange, Side::Response, bytes, false);
    }

    /// Ends the upstream's answer.
    pub fn respond_end(&self) {
        self.machine.borrow_mut().data(&self.exchange, Side::Response, &[], true);
    }

    /// Ends the upstream's answer with trailers.
    pub fn respond_trailers(&self, trailers: impl Into<HeaderMap>) {
        self.machine.borrow_mut().trailers(&self.exchange, Side::Response, trailers.into());
    }

    /// Sets the host that the router picked, which the filter reads as `upstream.address`.
    pub fn upstream_address(&self, address: &str) {
        self.exchange.borrow_mut().upstream_address = Some(address.to_owned());
    }

    /// Refuses the connection to the upstream: 503, flag UF.
    pub fn refuse(&self) {
        let body = "upstream connect error or disconnect/reset before headers. \
            reset reason: remote connection failure";
        let details = "upstream_reset_before_response_started{remote_connection_failure}";
        self.local_reply(LocalReply::new(503, body, details, flag::UPSTREAM_CONNECT_FAILURE));
    }

    /// Closes the upstream's connection: 503 and flag UC before its headers, a reset and flag UPE
    /// after them.
    pub fn upstream_resets(&self) {
        if self.exchange.borrow().client.is_some() {
            // HTTP/1.1 has no end there, by `envoy::scheduling`.
            let details = "upstream_reset_after_response_started{protocol_error}";
            let flags = flag::UPSTREAM_PROTOCOL;
            return self.machine.borrow_mut().cut(&self.exchange, details, flags);
        }
        let body = "upstream connect error or disconnect/reset before headers. \
            reset reason: connection termination";
        let details = "upstream_reset_before_response_started{connection_termination}";
        self.local_reply(LocalReply::new(503, body, details, flag::UPSTREAM_CLOSED));
    }

    /// Lets the route's time-out strike: 504, flag UT.
    pub fn upstream_times_out(&self) {
        let body = "upstream request timeout";
        self.local_reply(LocalReply::new(504, body, "response_timeout", flag::UPSTREAM_TIMEOUT));
    }
}

/// Envoy's own knowledge.
impl Stream {
    /// Returns Envoy's response code details, such as `via_upstream`.
    #[must_use]
    pub fn details(&self) -> Option<String> {
        self.exchange.borrow().details.clone()
    }

    /// Returns the id of the filter's context in its VM; 0 when the filter is bypassed.
    #[must_use]
    pub fn context_id(&self) -> u32 {
        self.exchange.borrow().context
    }

    /// Returns how often the filter made Envoy choose the route again.
    #[must_use]
    pub fn route_cache_clears(&self) -> u32 {
        self.exchange.borrow().route_cache_clears
    }

    /// Sets a property of this stream, such as `connection.requested_server_name`.
    pub fn property(&self, path: &str, value: impl Into<Vec<u8>>) {
        self.exchange.borrow_mut().preset.insert(path.to_owned(), value.into());
    }

    pub(crate) fn new(machine: MachineRef, exchange: ExchangeRef) -> Self {
        Self { machine, exchange }
    }

    fn respond_with(&self, status: u16, headers: impl Into<HeaderMap>, end: bool) {
        let mut headers = headers.into();
        headers.set(":status", status.to_string());
        self.machine.borrow_mut().respond(&self.exchange, headers, end);
    }

    fn local_reply(&self, reply: LocalReply) {
        self.machine.borrow_mut().local_reply(&self.exchange, reply);
    }
}
