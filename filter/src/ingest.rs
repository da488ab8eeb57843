//! An HTTP stream of an ingest instance: the scraper's push, which is verified and stored.

use std::{cell::Cell, rc::Rc};

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
    /// The part that has come; `None` before the headers and once there is an answer. What comes then is ignored.
    read: Cell<Option<PushRead>>,
}

/// The part of a push that has come.
struct PushRead {
    /// Read at header time: while the body is on its way Envoy may have let the headers go.
    headers: Headers,
    signed: SignedHeaders,
    /// Bytes of the body that Envoy has buffered.
    buffered: usize,
}

impl Ingest {
    /// Makes the context with this id, of a push to the plugin instance with that one.
    pub(crate) fn new(receiver: Rc<Receiver>, context_id: u32, instance: u32) -> Self {
        let id = RequestId(context_id);
        Self(Rc::new(Push { receiver, id, instance, read: Cell::new(None) }))
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

    /// Takes in that of the body so many bytes are buffered, which are all if `is_whole`.
    fn read_on(self: &Rc<Self>, read: PushRead, is_whole: bool) -> Action {
        let size = read.buffered;
        match self.receiver.check_size(KEY, u64::try_from(size).unwrap_or(u64::MAX)) {
            Ok(()) if is_whole => {
                let stored = self.receiver.take(&read.signed, &host::request_body(size));
                self.answer(stored, &read.headers)
            }
            Ok(()) => self.wait(read),
            Err(refused) => self.answer(Err(refused), &read.headers),
        }
    }

    /// Waits for the rest of the body.
    fn wait(self: &Rc<Self>, read: PushRead) -> Action {
        bodies::note_upload(self.instance, self.id, read.buffered, Rc::<Self>::clone(self));
        self.read.set(Some(read));
        Action::Pause
    }

    /// Answers a push that was taken.
    fn welcome(&self, taken: &Taken, headers: &Headers) {
        let stats = &self.receiver.stats;
        let waiting = taken.ledger.waiting.to_string();
        let waiting = (push::WAITING_HEADER, waiting.as_str());
        let reply = report::of_push(taken, stats, headers);
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

    fn answer(&self, outcome: Result<Taken, Refused>, headers: &Headers) -> Action {
        bodies::forget_upload(self.id);
        let stats = &self.receiver.stats;
        match outcome {
            Ok(taken) => {
                stats.snapshots_stored.add(1);
                self.welcome(&taken, headers);
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
        if let Some(read) = self.read.take() {
            let _ = self.answer(Err(refused), &read.headers);
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
        let headers = host::request_headers();
        match self.0.begin(&headers, end_of_stream) {
            Ok(signed) => self.0.wait(PushRead { headers, signed, buffered: 0 }),
            Err(refused) => self.0.answer(Err(refused), &headers),
        }
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let Some(read) = self.0.read.take() else { return Action::Pause };
        self.0.read_on(PushRead { buffered: size, ..read }, end_of_stream)
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        // With trailers, no part of the body was its end.
        let Some(read) = self.0.read.take() else { return Action::Pause };
        self.0.read_on(read, true)
    }
}
