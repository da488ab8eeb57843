//! An HTTP stream of an ingest instance: the scraper's push, which is verified and stored.

use std::rc::Rc;

use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};
use wire::{body::Dialect, push, report};

use crate::{
    host::{self, Headers},
    receiver::{Receiver, Refused, Taken},
};

/// A push on its way in.
pub(crate) struct Ingest {
    receiver: Rc<Receiver>,
    /// Read at header time: while the body is on its way Envoy may have let the headers go.
    headers: Headers,
    phase: PushPhase,
}

/// The phase of a push.
#[derive(Clone, Copy)]
enum PushPhase {
    /// The body is on its way, of which Envoy has buffered so many bytes.
    Reading { buffered: usize },
    /// The push has its answer; the rest of its body is ignored.
    Answered,
}

impl Ingest {
    /// Makes the context of a push to this plugin instance.
    pub(crate) fn new(receiver: Rc<Receiver>) -> Self {
        Self { receiver, headers: Headers::none(), phase: PushPhase::Reading { buffered: 0 } }
    }

    /// Refuses a request that is no push, before its body is read.
    fn check_headers(&self, end_of_stream: bool) -> Result<(), Refused> {
        let method = self.headers.last(":method").unwrap_or_default();
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

    /// Verifies and stores a body that came whole.
    fn store(&self, size: usize) -> Result<Taken, Refused> {
        let body = host::request_body(size);
        self.receiver.take(&self.headers, body)
    }

    /// True if the scraper asks for a report on the pool. It asks now and then, while its status page
    /// may be open; most pushes are answered with the number of held requests alone.
    fn wants_report(&self) -> bool {
        self.headers.last("accept") == Some(report::MEDIA_TYPE.as_bytes())
    }

    fn answer(&mut self, outcome: Result<Taken, Refused>) -> Action {
        self.phase = PushPhase::Answered;
        let stats = &self.receiver.stats;
        let json = ("content-type", report::MEDIA_TYPE);
        match outcome {
            Ok(taken) => {
                stats.snapshots_stored.increment();
                let waiting = taken.ledger.waiting.to_string();
                let waiting = (push::WAITING_HEADER, waiting.as_str());
                if self.wants_report() {
                    let report = crate::report::write(&taken, stats, host::now());
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
            Err(refused) => self.answer(Err(refused)),
        }
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let PushPhase::Reading { buffered } = &mut self.phase else { return Action::Pause };
        *buffered = size;
        match self.check_size(size) {
            Ok(()) if !end_of_stream => Action::Pause,
            Ok(()) => {
                let stored = self.store(size);
                self.answer(stored)
            }
            Err(refused) => self.answer(Err(refused)),
        }
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        // With trailers, no part of the body was its end.
        let PushPhase::Reading { buffered } = self.phase else { return Action::Pause };
        let stored = self.store(buffered);
        self.answer(stored)
    }
}
