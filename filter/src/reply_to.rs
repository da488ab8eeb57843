//! The parts of a request that an answer from here repeats.

use crate::host::Headers;

/// Header with the number by which Envoy's access log and a client's report know a request.
const REQUEST_ID: &str = "x-request-id";

/// Longest request id that is repeated, in bytes: Envoy's own are UUIDs.
const REQUEST_ID_MAX: usize = 128;

/// The parts of a request that an answer from here repeats, so that a browser shows the answer to its page, and
/// a log has both under one id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReplyTo {
    request_id: Option<String>,
    /// True if a page of another origin asks.
    has_origin: bool,
}

impl ReplyTo {
    /// Reads them from a request's headers.
    pub(crate) fn read(headers: &Headers) -> Self {
        let id = headers.last(REQUEST_ID).and_then(|it| std::str::from_utf8(it).ok());
        let id = id.filter(|id| id.len() <= REQUEST_ID_MAX).map(str::to_owned);
        Self { request_id: id, has_origin: headers.has("origin") }
    }

    /// Returns the number by which a log knows the request; "-" if it has none.
    pub(crate) fn request_id(&self) -> &str {
        self.request_id.as_deref().unwrap_or("-")
    }

    /// Appends the headers of an answer.
    pub(crate) fn append<'a>(&'a self, headers: &mut Vec<(&'static str, &'a str)>) {
        if let Some(id) = &self.request_id {
            headers.push((REQUEST_ID, id));
        }
        if self.has_origin {
            // As vLLM and SGLang answer by default. An error tells no page more than that there is one.
            headers.push(("access-control-allow-origin", "*"));
            headers.push(("access-control-expose-headers", "*"));
        }
    }
}
