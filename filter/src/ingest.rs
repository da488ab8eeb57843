//! An HTTP stream of an ingest instance: the scraper's push, which is verified and stored.

use std::{cell::RefCell, rc::Rc};

use picker_core::{RequestId, uploads::UploadFault};

use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};
use wire::{body::Dialect, push, reply};

use crate::{
    bodies,
    host::{self, Headers},
    receiver::{Receiver, Refused, SignedHeaders, SignedReply, Taken},
    report, request_meta,
    vm::UploadingStream,
};

/// Place of an ingest's settings in the configuration.
const KEY: &str = "ingest";

/// The stream of a push. Its body counts as an upload: whoever reaches the listener may begin as many as it likes, and
/// the signature is of the whole.
pub(crate) struct Ingest(Rc<Push>);

/// A push on its way in.
struct Push {
    receiver: Rc<Receiver>,
    /// The stream, as one of the uploads of this VM.
    id: RequestId,
    /// Context id of the plugin instance.
    instance: u32,
    /// Read at header time: while the body is on its way Envoy may have let the headers go.
    headers: RefCell<Headers>,
    phase: RefCell<PushPhase>,
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
    /// Makes the context with this id, of a push to the plugin instance with that one.
    pub(crate) fn new(receiver: Rc<Receiver>, context_id: u32, instance: u32) -> Self {
        let headers = RefCell::new(Headers::none());
        let phase = RefCell::new(PushPhase::New);
        let id = RequestId(context_id);
        Self(Rc::new(Push { receiver, id, instance, headers, phase }))
    }
}

impl Push {
    /// Refuses a request that is no push, before its body is read.
    fn begin(&self, headers: &Headers, end_of_stream: bool) -> Result<SignedHeaders, Refused> {
        let method = headers.last(":method").unwrap_or_default();
        if method != b"POST" {
            let found = String::from_utf8_lossy(method);
            return Err(Refused::new(405, format!("found method {found}; allowed: POST")));
        }
        if end_of_stream {
            return Err(Refused::new(400, "found no body; a snapshot is needed".to_owned()));
        }
        let signed = Receiver::signed(headers)?;
        self.receiver.check_size(KEY, request_meta::length(headers))?;
        Ok(signed)
    }

    /// Verifies and stores a body that came whole.
    fn store(&self, signed: &SignedHeaders, size: usize) -> Result<Taken, Refused> {
        self.receiver.take(signed, &host::request_body(size))
    }

    /// Takes in what Envoy has buffered of the body, which is whole if `is_whole`.
    fn read_on(self: &Rc<Self>, size: usize, is_whole: bool) -> Action {
        let signed = match &*self.phase.borrow() {
            PushPhase::Reading { signed, .. } => signed.clone(),
            PushPhase::New | PushPhase::Answered => return Action::Pause,
        };
        match self.receiver.check_size(KEY, u64::try_from(size).unwrap_or(u64::MAX)) {
            Ok(()) if is_whole => {
                let stored = self.store(&signed, size);
                self.answer(stored)
            }
            Ok(()) => self.wait(signed, size),
            Err(refused) => self.answer(Err(refused)),
        }
    }

    /// Waits for the rest of the body, of which Envoy has buffered so many bytes.
    fn wait(self: &Rc<Self>, signed: SignedHeaders, buffered: usize) -> Action {
        let _ = self.phase.replace(PushPhase::Reading { signed, buffered });
        bodies::note_upload(self.instance, self.id, buffered, Rc::<Self>::clone(self));
        Action::Pause
    }

    /// Answers a push that was taken.
    fn welcome(&self, taken: &Taken) {
        let stats = &self.receiver.stats;
        let waiting = taken.ledger.waiting.to_string();
        let waiting = (push::WAITING_HEADER, waiting.as_str());
        let reply = report::of_push(taken, stats, &self.headers.borrow());
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

    fn answer(&self, outcome: Result<Taken, Refused>) -> Action {
        let _ = self.phase.replace(PushPhase::Answered);
        bodies::forget_upload(self.id);
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

impl UploadingStream for Push {
    fn give_up(&self, fault: UploadFault) -> Option<usize> {
        let refused = match fault {
            UploadFault::Stalled => Refused::new(408, "found a body that stands still".to_owned()),
            UploadFault::Crowded => {
                Refused::new(503, "found more bodies on their way in than are kept".to_owned())
            }
        };
        // One that has its answer is told no other.
        if matches!(&*self.phase.borrow(), PushPhase::Reading { .. }) {
            let _ = self.answer(Err(refused));
        }
        None
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        bodies::forget_upload(self.0.id);
    }
}

impl Context for Ingest {}

impl HttpContext for Ingest {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let push = &self.0;
        let headers = host::request_headers();
        let begun = push.begin(&headers, end_of_stream);
        let _ = push.headers.replace(headers);
        match begun {
            Ok(signed) => push.wait(signed, 0),
            Err(refused) => push.answer(Err(refused)),
        }
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.0.read_on(size, end_of_stream)
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        // With trailers, no part of the body was its end.
        let buffered = match &*self.0.phase.borrow() {
            PushPhase::Reading { buffered, .. } => *buffered,
            PushPhase::New | PushPhase::Answered => return Action::Pause,
        };
        self.0.read_on(buffered, true)
    }
}
