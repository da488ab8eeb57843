//! Outcomes of a request: the endpoint's response, the end, and the cause of a failure.

use std::net::SocketAddr;

use super::prompt::digest_all;

/// The response of an endpoint to a request, as far as it says something of the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseClass {
    /// The endpoint took the prompt, so that its prefix is cached now: a status below 400, and content.
    Taken,
    /// The endpoint found fault with the request, as any other would: a status from 400 to 499, of the
    /// response or of an error in place of its content.
    Refused,
    /// The endpoint could not serve the request: a status from 500 on, a connection that was
    /// refused, reset or timed out. Enough of those eject the endpoint for a while.
    Failed(Fault),
}

/// The beginning of a response: its first content, or what came in place of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseStart {
    /// The endpoint that sent it; `None` where Envoy does not say.
    pub served_by: Option<SocketAddr>,
    /// The class of its status, as far as it says something of that endpoint.
    pub class: ResponseClass,
}

/// The tokens of a request's prompt, as its endpoint counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PromptUsage {
    /// All tokens of the prompt.
    pub tokens: u32,
    /// Those that were cached, where the endpoint says so.
    pub cached: Option<u32>,
}

/// The end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All of its answer came, and well.
    Whole,
    /// A response that had begun well did not end well: the connection was reset, or the stream
    /// carries an error.
    Broken(Fault),
    /// Any other end: the client left, or the status of the response said already all there is to say.
    Gone,
}

/// The cause of a failure, as far as it says something of the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The endpoint could not be reached, broke off, took too long, or says itself that it is
    /// unavailable.
    Endpoint,
    /// The endpoint or the request, which any endpoint may answer with an error. A failure counts once for
    /// each client, so that no client alone can have an endpoint ejected.
    Unclear(ClientId),
}

/// Tells clients apart; two have the same number by chance once in 2^64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientId(pub u64);

impl ClientId {
    /// Returns the client of that name; a tenant's id and an address both serve as one.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(digest_all(0, name.as_bytes()))
    }
}

impl ResponseClass {
    /// Reads a response's status, of which none at all is 0. `client` says which client asked,
    /// where it matters.
    #[must_use]
    pub fn from_status(status: u16, client: impl FnOnce() -> ClientId) -> Self {
        match status {
            // Bad gateway, unavailable, timed out: what Envoy says where no endpoint answers, and a
            // server that knows that it cannot serve.
            0 | 502..=504 => Self::Failed(Fault::Endpoint),
            1..400 => Self::Taken,
            400..500 => Self::Refused,
            _ => Self::Failed(Fault::Unclear(client())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_whose_fault_it_is() {
        let client = ClientId::new("tenant");
        let endpoint = Fault::Endpoint;
        let unclear = Fault::Unclear(client);
        for (status, answer) in [
            (0, ResponseClass::Failed(endpoint)),
            (200, ResponseClass::Taken),
            (399, ResponseClass::Taken),
            (429, ResponseClass::Refused),
            (500, ResponseClass::Failed(unclear)),
            (501, ResponseClass::Failed(unclear)),
            (502, ResponseClass::Failed(endpoint)),
            (503, ResponseClass::Failed(endpoint)),
            (504, ResponseClass::Failed(endpoint)),
            (505, ResponseClass::Failed(unclear)),
            (999, ResponseClass::Failed(unclear)),
        ] {
            assert_eq!(ResponseClass::from_status(status, || client), answer, "{status}");
        }
        assert_ne!(ClientId::new("tenant"), ClientId::new("tenants"));
    }
}
