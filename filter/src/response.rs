//! A response on its way back: watched as it passes, and changed where a model goes by another name.

use std::time::Duration;

use picker_core::{ClientId, End, Fault, Instant, ResponseClass};
use wire::response::{Kind, LoadReport, Reader, Renamer};

use crate::{
    host::{self, Headers},
    identity,
    models::Models,
    pool_worker::ResponseStart,
};

/// The load that a model server reports with its answer (ORCA), as text or as binary.
const LOAD_REPORT: [&str; 2] = ["endpoint-load-metrics", "endpoint-load-metrics-bin"];

/// What is known of a response.
#[derive(Default)]
pub(crate) struct Response {
    pub(crate) reader: Reader,
    pub(crate) status: u16,
    pub(crate) bytes: u64,
    /// When its body began.
    began_at: Option<Instant>,
    /// Whether all of it came.
    is_whole: bool,
    /// When a stream's end came. No clock is read for the tokens in between.
    whole_at: Option<Instant>,
    /// How it began, while its pool has not been told.
    pub(crate) begun: Option<ResponseStart>,
    renamer: Option<Renamer>,
}

impl Response {
    /// Of which the headers have come. They say how the body is to be read, and must be told now if
    /// it is to be changed.
    pub(crate) fn begin(headers: &Headers, models: &Models) -> Self {
        let header = |name| identity::last(headers, name);
        let status = header(":status").and_then(|it| std::str::from_utf8(it).ok()?.parse().ok());
        let is_plain = header("content-encoding").is_none_or(|it| it == b"identity");
        let kind = header("content-type")
            .filter(|_| is_plain)
            .map(Kind::from_content_type)
            .unwrap_or_default();
        let renamed = models.are_renamed() && kind != Kind::Other;
        if renamed && header("content-length").is_some() {
            host::remove_response_header("content-length");
        }
        Self {
            reader: Reader::new(kind),
            status: status.unwrap_or_default(),
            renamer: renamed.then(|| Renamer::new(&models.sent, &models.asked)),
            ..Self::default()
        }
    }

    /// Whether its end follows in the same moment, as far as its headers say: it has a length and is no
    /// stream, so that the engine had all of it before it began.
    pub(crate) fn ends_at_once(&self, headers: &Headers) -> bool {
        self.reader.kind() != Kind::Events && identity::last(headers, "content-length").is_some()
    }

    /// A part of the body passes. It is never held back: the client sees each token when it comes.
    /// When the first token came, if this was it.
    pub(crate) fn pass(&mut self, size: usize, is_end: bool) -> Option<Instant> {
        if is_end {
            self.end();
        }
        self.bytes += u64::try_from(size).unwrap_or(u64::MAX);
        if self.reader.kind() == Kind::Other {
            return None;
        }
        let is_first = size > 0 && self.began_at.is_none();
        if is_first {
            self.began_at = Some(host::now());
        }
        let chunk = if size > 0 { host::response_body(size) } else { Vec::new() };
        self.reader.push(&chunk);
        let changed = self.renamer.as_mut().and_then(|renamer| renamer.push(&chunk, is_end));
        if let Some(changed) = changed {
            host::set_response_body(size, &changed);
        }
        self.began_at.filter(|_| is_first && self.reader.kind() == Kind::Events)
    }

    /// Its trailers came, behind all of its body.
    pub(crate) fn end(&mut self) {
        self.is_whole = true;
        if self.reader.kind() == Kind::Events {
            self.whole_at = Some(host::now());
        }
    }

    /// When its body began, and for how long it came: if not to its end, then until `gone_at`.
    pub(crate) fn body(&self, gone_at: Instant) -> Option<(Instant, Duration)> {
        let (began_at, ended_at) = (self.began_at?, self.whole_at.unwrap_or(gone_at));
        Some((began_at, ended_at.saturating_since(began_at)))
    }

    /// How it ended. Before `on_log` only if all of it has passed.
    pub(crate) fn how_ended(&self, client: impl FnOnce() -> ClientId) -> End {
        if !(200..300).contains(&self.status) {
            End::Gone
        } else if !self.is_whole && host::upstream_broke() {
            End::Broken(Fault::Endpoint)
        } else if self.reader.has_failed() {
            End::Broken(Fault::Unclear(client()))
        } else if self.is_whole {
            End::Whole
        } else {
            End::Gone
        }
    }

    /// The mean time between the tokens of a stream that came well and whole.
    pub(crate) fn tpot(&self) -> Option<Duration> {
        let (_, streamed) = self.body(self.whole_at?)?;
        let gap = mean_gap(streamed, self.reader.output_tokens());
        gap.filter(|_| self.error().is_none())
    }

    /// What its status says of who sent it; no status at all is no answer.
    pub(crate) fn answer(&self, client: impl FnOnce() -> ClientId) -> ResponseClass {
        ResponseClass::from_status(self.status, client)
    }

    /// How it failed, by the EPP's code: by its status, by an error within a stream that had begun
    /// well, or because nothing came at all.
    pub(crate) fn error(&self) -> Option<&'static str> {
        let is_well = (200..400).contains(&self.status)
            && !matches!(self.how_ended(ClientId::default), End::Broken(_));
        (!is_well).then_some("ModelServerError")
    }
}

/// The mean time between `parts` that came within `streamed`; none of fewer than two.
pub(crate) fn mean_gap(streamed: Duration, parts: u32) -> Option<Duration> {
    let gaps = parts.checked_sub(1).filter(|gaps| *gaps > 0)?;
    Some(streamed / gaps)
}

/// Reads what the model server says of its load, and takes it out: it is nothing for the client.
pub(crate) fn take_load_report(headers: &Headers, remove: impl Fn(&str)) -> Option<LoadReport> {
    let mut report = None;
    for name in LOAD_REPORT {
        if let Some(value) = identity::last(headers, name) {
            report = report.or_else(|| LoadReport::parse(value));
            remove(name);
        }
    }
    report
}
