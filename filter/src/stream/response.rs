//! A response on its way back: read as it passes, and changed where a model goes by another name.

use std::time::Duration;

use picker_core::{ClientId, End, Fault, Instant, ResponseClass, ResponseStart};
use wire::{
    response::{Kind, LoadReport, Reader, Renamer},
    tally::ErrorCode,
};

use crate::{
    host::{self, Headers},
    models::Models,
    pace::mean_gap,
};

/// The load that a model server reports with its answer (ORCA), as text or as binary.
const LOAD_REPORT: [&str; 2] = ["endpoint-load-metrics", "endpoint-load-metrics-bin"];

/// The part of a response that has come so far.
#[derive(Default)]
pub(in crate::stream) struct Response {
    pub(in crate::stream) reader: Reader,
    pub(in crate::stream) status: u16,
    pub(in crate::stream) bytes: u64,
    /// Time at which its body began.
    began_at: Option<Instant>,
    /// True once all of it came.
    is_whole: bool,
    /// Time at which a stream's end came. No clock is read for the tokens in between.
    whole_at: Option<Instant>,
    /// Beginning of the response, until its pool is told.
    pub(in crate::stream) start: Option<ResponseStart>,
    renamer: Option<Renamer>,
}

impl Response {
    /// Begins a response by its headers, which tell how to read the body. A body that is to be changed has
    /// another length, so the header with it is removed while Envoy still holds the headers.
    pub(in crate::stream) fn begin(headers: &Headers, models: &Models) -> Self {
        let header = |name| headers.last(name);
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

    /// True if the end follows in the same moment, by the headers: the response has a length and is no
    /// stream, so that the engine had all of it before it began.
    pub(in crate::stream) fn ends_at_once(&self, headers: &Headers) -> bool {
        self.reader.kind() != Kind::Events && headers.last("content-length").is_some()
    }

    /// Reads a part of the body as it passes. No part is held back: the client sees each token when it
    /// comes. Returns the time of the first token, if this part brought it.
    pub(in crate::stream) fn pass(&mut self, size: usize, is_end: bool) -> Option<Instant> {
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

    /// Ends the body, with its last part or with the trailers behind it.
    pub(in crate::stream) fn end(&mut self) {
        self.is_whole = true;
        if self.reader.kind() == Kind::Events {
            self.whole_at = Some(host::now());
        }
    }

    /// Returns the time at which the body began, and the time that it took: to its end, or until `gone_at`
    /// if that did not come.
    pub(in crate::stream) fn body(&self, gone_at: Instant) -> Option<(Instant, Duration)> {
        let began_at = self.began_at?;
        let ended_at = self.whole_at.unwrap_or(gone_at);
        Some((began_at, ended_at.saturating_since(began_at)))
    }

    /// Tells how the response ended. Before `on_log` only if all of it has passed.
    pub(in crate::stream) fn how_ended(&self, client: impl FnOnce() -> ClientId) -> End {
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

    /// Returns the mean time between the tokens of a stream that came well and whole.
    pub(in crate::stream) fn tpot(&self) -> Option<Duration> {
        let (_, streamed) = self.body(self.whole_at?)?;
        let gap = mean_gap(streamed, self.reader.output_tokens());
        gap.filter(|_| self.error().is_none())
    }

    /// Classifies the response for the endpoint that sent it, by its status; no status is no answer.
    pub(in crate::stream) fn class(&self, client: impl FnOnce() -> ClientId) -> ResponseClass {
        ResponseClass::from_status(self.status, client)
    }

    /// Returns the EPP's code of its failure: by the status, by an error within a stream that had begun
    /// well, or because nothing came at all.
    pub(in crate::stream) fn error(&self) -> Option<ErrorCode> {
        let is_well = (200..400).contains(&self.status)
            && !matches!(self.how_ended(ClientId::default), End::Broken(_));
        (!is_well).then_some(ErrorCode::ModelServerError)
    }
}

/// Reads the model server's report on its load, and removes it: the client has no use for it.
pub(in crate::stream) fn take_load_report(
    headers: &Headers,
    remove: impl Fn(&str),
) -> Option<LoadReport> {
    let mut report = None;
    for name in LOAD_REPORT {
        if let Some(value) = headers.last(name) {
            report = report.or_else(|| LoadReport::parse(value));
            remove(name);
        }
    }
    report
}
