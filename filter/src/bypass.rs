//! The streams of a plugin instance that has no configuration to go by: they pass unpicked, and where the
//! refused configuration says so, those that it was meant for are answered with an error.

use std::rc::Rc;

use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};
use wire::{
    body::Api,
    config::{self, Claims, Destined, Match},
};

use crate::{
    counters::Counters,
    destination,
    host::{self, Headers},
    operation::Operation,
    refusal::Refusal,
    reply_to::ReplyTo,
};

/// A plugin instance without a configuration to go by.
pub(crate) struct Bypass {
    claims: Claims,
    /// Headers are removed as by an empty configuration.
    identity: config::Identity,
    counters: Counters,
}

/// A stream of such an instance.
pub(crate) struct Bypassed {
    bypass: Rc<Bypass>,
    is_refused: bool,
}

impl Bypass {
    /// Makes an instance with a configuration for these requests.
    pub(crate) fn new(claims: Claims) -> Self {
        Self { claims, identity: config::Identity::default(), counters: Counters::define() }
    }

    /// True if the requests that it was meant for are answered with an error.
    pub(crate) fn fails_closed(&self) -> bool {
        self.claims.fails_closed() && !self.claims.matches.is_empty()
    }

    /// True if the configuration was meant for a request with these headers. Its body is not read: a pool
    /// that is chosen by a model may have claimed any request that names one.
    fn is_claimed(&self, headers: &Headers) -> bool {
        let header = |name| headers.last(name).unwrap_or_default();
        let by_cluster = self.claims.matches.iter().any(|rule| rule.cluster.is_some());
        let cluster = if by_cluster { host::route_cluster() } else { Vec::new() };
        let request =
            Destined { host: header(":authority"), path: header(":path"), cluster: &cluster };
        let names_a_model = Operation::api(headers).is_some_and(|api| api != Api::Other);
        let fits = |rule: &Match| rule.fits(request) && (rule.models.is_empty() || names_a_model);
        self.claims.matches.iter().any(fits)
    }
}

impl Bypassed {
    pub(crate) const fn new(bypass: Rc<Bypass>) -> Self {
        Self { bypass, is_refused: false }
    }
}

impl Context for Bypassed {}

impl HttpContext for Bypassed {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let mut headers = host::request_headers();
        let config::Identity { stripped, steering, .. } = &self.bypass.identity;
        // Where nothing is picked, a client must not choose its endpoint either.
        let forged = stripped.iter().chain(steering).map(String::as_str);
        headers.strip([destination::HEADER].into_iter().chain(forged));
        if !self.bypass.is_claimed(&headers) {
            return Action::Continue;
        }
        if !self.bypass.claims.fails_closed() {
            self.bypass.counters.count_failed_open();
            return Action::Continue;
        }
        let dialect = Operation::api(&headers).map(Api::dialect).unwrap_or_default();
        Refusal::Unconfigured.send(dialect, &ReplyTo::read(&headers));
        self.bypass.counters.count_unavailable();
        self.is_refused = true;
        Action::Pause
    }

    fn on_http_request_body(&mut self, _: usize, _: bool) -> Action {
        if self.is_refused { Action::Pause } else { Action::Continue }
    }
}
