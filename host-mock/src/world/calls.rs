//! HTTP calls that a plugin made. The test answers them.

use crate::headers::HeaderMap;

/// A `dispatch_http_call` that waits for its answer.
#[derive(Debug, Clone)]
pub struct HttpCall {
    /// Number that names the call when it is answered.
    pub token: u32,
    /// Worker that made the call; the number of workers stands for the main thread.
    pub worker: usize,
    /// Name of the cluster that is called.
    pub cluster: String,
    /// Request headers, pseudo headers included.
    pub headers: HeaderMap,
    /// Request body.
    pub body: Vec<u8>,
    /// Milliseconds until Envoy answers 504 in the cluster's place; 0 is no time-out.
    pub timeout_millis: u32,
    pub(crate) context: u32,
    pub(crate) made_nanos: u64,
    pub(crate) due_nanos: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Calls {
    waiting: Vec<HttpCall>,
    last_token: u32,
}

impl Calls {
    pub(crate) fn add(&mut self, mut call: HttpCall) -> u32 {
        self.last_token += 1;
        call.token = self.last_token;
        self.waiting.push(call);
        self.last_token
    }

    pub(crate) fn take(&mut self, token: u32) -> Option<HttpCall> {
        let position = self.waiting.iter().position(|call| call.token == token)?;
        Some(self.waiting.remove(position))
    }

    /// Returns the time-out that comes first, in nanoseconds since the Unix epoch, and its call's
    /// token.
    pub(crate) fn first_due(&self) -> Option<(u64, u32)> {
        self.waiting.iter().map(|call| (call.due_nanos, call.token)).min()
    }

    pub(crate) fn waiting(&self) -> &[HttpCall] {
        &self.waiting
    }
}
