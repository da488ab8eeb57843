//! An HTTP stream of an ingest instance: the scraper's push, which is verified and stored.

use std::rc::Rc;

use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};
use wire::{body::Dialect, push, reply};

use crate::{
    host::{self, Headers},
    receiver::{Receiver, Refused, SignedHeaders, SignedReply, Taken},
    report, request_meta,
};

/// Place of an ingest's settings in the configuration.
const KEY: &str = "ingest";

/// A push on its way in.
pub(crate) struct Ingest {
    receiver: Rc<Receiver>,
    /// Read at header time: while the body is on its way Envoy may have let the headers go.
    headers: Headers,
    phase: PushPhase,
}

/// The phase of a push.
enum PushPhase {
    /// The headers have not arrived.
    New,
    /// The body is on its way, of which Envoy has buffered so many bytes.
    Reading { signed: SignedHeaders, buffered: usize },
    /// The push has its answer; the rest of its body is ignored.
    Answered,
}

impl Ingest {
    /// Makes the context of a push to this plugin instance.
    pub(crate) fn new(receiver: Rc<Receiver>) -> Self {
        Self { receiver, headers: Headers::none(), phase: PushPhase::New }
    }

    /// Refuses a request that is no push, before its body is read.
    fn begin(&self, end_of_stream: bool) -> Result<SignedHeaders, Refused> {
        let method = self.headers.last(":method").unwrap_or_default();
        if method != b"POST" {
            let found = String::from_utf8_lossy(method);
            return Err(Refused::new(405, format!("found method {found}; allowed: POST")));
        }
        if end_of_stream {
            return Err(Refused::new(400, "found no body; a snapshot is needed".to_owned()));
        }
        let signed = Receiver::signed(&self.headers)?;
        self.receiver.check_size(KEY, request_meta::length(&self.headers))?;
        Ok(signed)
    }

    /// Verifies and stores a body that came whole.
    fn store(&self, signed: &SignedHeaders, size: usize) -> Result<Taken, Refused> {
        self.receiver.take(signed, &host::request_body(size))
    }

    /// Takes in what Envoy has buffered of the body, which is whole if `is_whole`.
    fn read_on(&mut self, size: usize, is_whole: bool) -> Action {
        let PushPhase::Reading { signed, .. } = &self.phase else { return Action::Pause };
        match self.receiver.check_size(KEY, u64::try_from(size).unwrap_or(u64::MAX)) {
            Ok(()) if is_whole => {
                let stored = self.store(signed, size);
                self.answer(stored)
            }
            Ok(()) => {
                let signed = signed.clone();
                self.phase = PushPhase::Reading { signed, buffered: size };
                Action::Pause
            }
            Err(refused) => self.answer(Err(refused)),
        }
    }

    /// Answers a push that was taken.
    fn welcome(&self, taken: &Taken) {
        let stats = &self.receiver.stats;
        let waiting = taken.ledger.waiting.to_string();
        let waiting = (push::WAITING_HEADER, waiting.as_str());
        let reply = report::of_push(taken, stats, &self.headers);
        let Some(report::Body { kind, body }) = reply else {
            return host::reply(204, vec![waiting], b"");
        };
        let SignedReply { gateway, signature } =
            self.receiver.sign(taken.secret, taken.stamp, &body);
        let headers = vec![
            ("content-type", kind),
            (reply::GATEWAY_HEADER, gateway.as_str()),
            (push::SIGNATURE_HEADER, signature.as_str()),
            waiting,
        ];
        host::reply(200, headers, &body);
    }

    fn answer(&mut self, outcome: Result<Taken, Refused>) -> Action {
        self.phase = PushPhase::Answered;
        let stats = &self.receiver.stats;
        match outcome {
            Ok(taken) => {
                stats.snapshots_stored.add(1);
                self.welcome(&taken);
            }
            Err(Refused { status, message }) => {
                stats.snapshots_refused.add(1);
                let json = ("content-type", "application/json");
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
        match self.begin(end_of_stream) {
            Ok(signed) => {
                self.phase = PushPhase::Reading { signed, buffered: 0 };
                Action::Pause
            }
            Err(refused) => self.answer(Err(refused)),
        }
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.read_on(size, end_of_stream)
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        // With trailers, no part of the body was its end.
        let PushPhase::Reading { buffered, .. } = self.phase else { return Action::Pause };
        self.read_on(buffered, true)
    }
}
