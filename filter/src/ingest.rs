//! One HTTP stream of an ingest: the scraper's push, verified and put on the board.

use std::rc::Rc;

use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};
use wire::{body::Dialect, push, report};

use crate::{
    host::{self, Headers},
    identity,
    receiver::{Receiver, Refused, Taken},
};

/// A push on its way in.
pub(crate) struct Ingest {
    receiver: Rc<Receiver>,
    /// Read at header time: while the body is on its way Envoy may have let the headers go.
    headers: Headers,
    phase: Phase,
}

/// How far a push has come.
#[derive(Clone, Copy)]
enum Phase {
    /// So much of its body has come.
    Reading { buffered: usize },
    /// It has its answer, and what still comes of it is nothing to us.
    Answered,
}

impl Ingest {
    /// A push to this plugin instance.
    pub(crate) fn new(receiver: Rc<Receiver>) -> Self {
        Self { receiver, headers: Headers::new(), phase: Phase::Reading { buffered: 0 } }
    }

    /// Refuses what need not be read at all.
    fn check_headers(&self, end_of_stream: bool) -> Result<(), Refused> {
        let method = identity::last(&self.headers, ":method").unwrap_or_default();
        if method != b"POST" {
            let found = String::from_utf8_lossy(method);
            return Err(Refused::new(405, format!("found method {found}; allowed: POST")));
        }
        if end_of_stream {
            return Err(Refused::new(400, "found no body; a snapshot is needed".to_owned()));
        }
        Ok(())
    }

    fn check_size(&self, size: usize) -> Result<(), Refused> {
        let limit = self.receiver.max_bytes;
        if u64::try_from(size).is_ok_and(|size| size > limit) {
            let message = format!("found a snapshot of over {limit} bytes; see ingest.maxBytes");
            return Err(Refused::new(413, message));
        }
        Ok(())
    }

    /// The body is whole.
    fn store(&self, size: usize) -> Result<Taken, Refused> {
        let body = host::request_body(size);
        self.receiver.take(|name| identity::last(&self.headers, name), body)
    }

    /// Whether the scraper asked what this gateway knows of the pool. It does so now and then, when
    /// somebody may look; most pushes are answered with how many requests are held.
    fn wants_report(&self) -> bool {
        identity::last(&self.headers, "accept") == Some(report::MEDIA_TYPE.as_bytes())
    }

    fn settle(&mut self, outcome: Result<Taken, Refused>) -> Action {
        self.phase = Phase::Answered;
        let stats = &self.receiver.stats;
        let json = ("content-type", report::MEDIA_TYPE);
        match outcome {
            Ok(taken) => {
                stats.snapshots_stored.increment();
                let waiting = taken.ledger.waiting.to_string();
                let waiting = (push::WAITING_HEADER, waiting.as_str());
                if self.wants_report() {
                    let report = crate::report::after(&taken, stats, host::now());
                    host::reply(200, vec![json, waiting], &report.encode());
                } else {
                    host::reply(204, vec![waiting], b"");
                }
            }
            Err(Refused { status, message }) => {
                stats.snapshots_refused.increment();
                let body = Dialect::OpenAi.error_body(status, &message);
                host::reply(status, vec![json], body.as_bytes());
            }
        }
        Action::Pause
    }
}

impl Context for Ingest {}

impl HttpContext for Ingest {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        self.headers = host::request_headers();
        match self.check_headers(end_of_stream) {
            Ok(()) => Action::Pause,
            Err(refused) => self.settle(Err(refused)),
        }
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let Phase::Reading { buffered } = &mut self.phase else { return Action::Pause };
        *buffered = size;
        match self.check_size(size) {
            Ok(()) if !end_of_stream => Action::Pause,
            Ok(()) => {
                let stored = self.store(size);
                self.settle(stored)
            }
            Err(refused) => self.settle(Err(refused)),
        }
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        // With trailers, no part of the body was its end.
        let Phase::Reading { buffered } = self.phase else { return Action::Pause };
        let stored = self.store(buffered);
        self.settle(stored)
    }
}
