//! One HTTP stream of an ingest: the scraper's push, verified and put on the board.

use std::rc::Rc;

use engine::{Instant, cluster::SharedLedger, ledger::Ledger};
use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};
use wire::{
    board::Posted,
    push::{self, Secret},
};

use crate::{
    board::{Board, SharedLedgerCell},
    host::{self, Headers},
    identity, mail,
    stats::Stats,
};

/// What all pushes to one plugin instance share.
pub(crate) struct Receiver {
    /// The largest snapshot taken, in bytes.
    pub(crate) max_bytes: u64,
    /// What scraper and Envoy both know.
    pub(crate) secret: Secret,
    /// What it counts.
    pub(crate) stats: Stats,
}

/// A push on its way in.
pub(crate) struct Ingest {
    receiver: Rc<Receiver>,
    /// Read at header time: while the body is on its way Envoy may have let the headers go.
    headers: Headers,
    /// How much of the body has come.
    buffered: usize,
}

/// Why a push is not stored.
struct Refused {
    status: u16,
    message: String,
}

impl Ingest {
    /// A push to this plugin instance.
    pub(crate) fn new(receiver: Rc<Receiver>) -> Self {
        Self { receiver, headers: Headers::new(), buffered: 0 }
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

    /// The body is whole: verifies it before anything else looks at it.
    fn store(&self, size: usize) -> Result<(), Refused> {
        let now = host::now();
        let body = host::request_body(size);
        let header = |name: &str| identity::last(&self.headers, name);
        let headers = push::Headers::parse(
            header(push::TIME_HEADER),
            header(push::SEQUENCE_HEADER),
            header(push::SIGNATURE_HEADER),
        )?;
        self.receiver.secret.verify(&headers, &body)?;
        let snapshot = wire::snapshot::decode(&body)
            .map_err(|error| Refused::new(400, format!("cannot read the snapshot: {error}")))?;
        let stamp = headers.stamp;
        let posted = Posted { stamp, received_at: now, body };
        Board::of_pool(&snapshot.pool)
            .post_snapshot(&posted, |last| push::check(now_ms(now), stamp, last))?;
        let mut after = Ledger::default();
        SharedLedgerCell::of_pool(&snapshot.pool).update(&mut |ledger| {
            ledger.snapshots += 1;
            after = ledger.clone();
        });
        // There may be room now.
        mail::nudge(&after);
        Ok(())
    }

    fn settle(&self, outcome: Result<(), Refused>) -> Action {
        match outcome {
            Ok(()) => {
                self.receiver.stats.snapshots_stored.increment();
                host::reply(204, Vec::new(), b"");
            }
            Err(Refused { status, message }) => {
                self.receiver.stats.snapshots_refused.increment();
                let body = wire::error::body(status, &message);
                host::reply(status, vec![("content-type", "application/json")], body.as_bytes());
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
            refused @ Err(_) => self.settle(refused),
        }
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.buffered = size;
        match self.check_size(size) {
            Ok(()) if !end_of_stream => Action::Pause,
            Ok(()) => self.settle(self.store(size)),
            refused @ Err(_) => self.settle(refused),
        }
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        // With trailers, no part of the body was its end.
        self.settle(self.store(self.buffered))
    }
}

impl Refused {
    fn new(status: u16, message: String) -> Self {
        Self { status, message }
    }
}

impl From<push::Refused> for Refused {
    fn from(refused: push::Refused) -> Self {
        Self::new(refused.status(), refused.to_string())
    }
}

fn now_ms(now: Instant) -> u64 {
    now.as_nanos() / 1_000_000
}
