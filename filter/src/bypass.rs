//! The streams of a plugin instance that has no configuration to go by: they pass unpicked, and where the
//! refused configuration says so, those that it was meant for are answered with an error.

use std::rc::Rc;

use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};
use wire::{
    body::{Api, Dialect},
    config::{self, Claims, Destined, Hold, Match},
    debug,
};

use crate::{
    bodies::DISCARDED_MAX,
    counters::Counters,
    destination,
    host::{self, Headers},
    operation::Operation,
    refusal::Refusal,
    reply_to::ReplyTo,
    request_meta, route_headers,
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
    progress: Progress,
}

/// Progress of such a stream.
enum Progress {
    /// The request goes on as it comes.
    Passing,
    /// The request is to be answered with an error, once the rest of its body has come and was thrown away: many clients
    /// write all that they have before they read.
    Refusing(PendingRefusal),
    /// The request was answered.
    Answered,
}

/// A request that is to be answered with an error.
struct PendingRefusal {
    dialect: Dialect,
    reply_to: ReplyTo,
    /// Bytes of the body that were thrown away.
    discarded: u64,
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

    /// Takes away headers that no client may set, where nothing is picked either.
    fn strip(&self, headers: &mut Headers) {
        let config::Identity { stripped, steering, .. } = &self.identity;
        let forged = stripped.iter().chain(steering).map(String::as_str);
        let routes = self.claims.route_headers.then_some(route_headers::NAMES);
        let forged = forged.chain(routes.into_iter().flatten());
        // Nothing opens a debug header here, and no pod may see one that holds elsewhere.
        headers.strip([destination::HEADER, debug::HEADER].into_iter().chain(forged));
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

    /// Returns the action by which a request's body is shown while its headers are held; `None` where that is not known
    /// of this configuration, or no body is waited for. Of a connection that is to become another protocol's there is no
    /// end to wait for.
    fn awaiting(&self, headers: &Headers, end_of_stream: bool) -> Option<Action> {
        let is_short = request_meta::length(headers) <= DISCARDED_MAX;
        if end_of_stream || headers.has("upgrade") || !is_short {
            return None;
        }
        self.claims.hold.map(|hold| match hold {
            Hold::StopIteration => Action::Pause,
            Hold::BufferFilter => Action::Continue,
        })
    }
}

impl PendingRefusal {
    fn answer(&self, bypass: &Bypass) -> Progress {
        Refusal::Unconfigured.send(self.dialect, &self.reply_to);
        bypass.counters.count_unavailable();
        Progress::Answered
    }
}

impl Bypassed {
    pub(crate) const fn new(bypass: Rc<Bypass>) -> Self {
        Self { bypass, progress: Progress::Passing }
    }
}

impl Context for Bypassed {}

impl HttpContext for Bypassed {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let mut headers = host::request_headers();
        self.bypass.strip(&mut headers);
        if !self.bypass.is_claimed(&headers) {
            return Action::Continue;
        }
        if !self.bypass.claims.fails_closed() {
            self.bypass.counters.count_failed_open();
            return Action::Continue;
        }
        let dialect = Operation::api(&headers).map(Api::dialect).unwrap_or_default();
        let reply_to = ReplyTo::read(&headers);
        let refused = PendingRefusal { dialect, reply_to, discarded: 0 };
        if let Some(action) = self.bypass.awaiting(&headers, end_of_stream) {
            self.progress = Progress::Refusing(refused);
            return action;
        }
        self.progress = refused.answer(&self.bypass);
        Action::Pause
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        match &mut self.progress {
            Progress::Passing => return Action::Continue,
            Progress::Answered => (),
            Progress::Refusing(refused) => {
                host::set_request_body(size, &[]);
                let size = u64::try_from(size).unwrap_or(u64::MAX);
                refused.discarded = refused.discarded.saturating_add(size);
                if end_of_stream || refused.discarded > DISCARDED_MAX {
                    self.progress = refused.answer(&self.bypass);
                }
            }
        }
        Action::Pause
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        match &self.progress {
            Progress::Passing => return Action::Continue,
            Progress::Answered => (),
            Progress::Refusing(refused) => self.progress = refused.answer(&self.bypass),
        }
        Action::Pause
    }
}
