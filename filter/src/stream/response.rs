//! A response on its way back: read as it passes, and changed where a model goes by another name.

use std::time::Duration;

use picker_core::{ClientId, End, Fault, Instant, ResponseClass, ResponseStart};
use wire::{
    body::OutputWishes,
    response::{Kind, LoadReport, MadeName, Reader, Renamer, Usage},
    tally::{Count, ErrorCode, Measure},
};

use crate::{
    host::{self, Headers},
    models::Models,
    pace::mean_gap,
    stats::micros,
};

/// The load that a model server reports with its answer (ORCA), as text or as binary.
const LOAD_REPORT: [&str; 2] = ["endpoint-load-metrics", "endpoint-load-metrics-bin"];

/// The part of a response that has come so far.
#[derive(Default)]
pub(in crate::stream) struct Response {
    pub(in crate::stream) reader: Reader,
    pub(in crate::stream) status: u16,
    delivery: Delivery,
    /// Time of the first content of a stream.
    content_at: Option<Instant>,
    /// Time of its last event with content.
    event_at: Option<Instant>,
    /// Times between such events. What comes in one piece is one event to a client.
    gaps: Count,
    /// True once all of it came.
    is_whole: bool,
    /// Time at which the end of a body came.
    whole_at: Option<Instant>,
    /// Beginning of the response, until its pool is told.
    pub(in crate::stream) start: Option<ResponseStart>,
    renamer: Option<Renamer>,
    /// Search for the name of what the endpoint keeps.
    made: Option<MadeName>,
    /// Name that the answer gave, until it is noted.
    pub(in crate::stream) made_name: Option<Vec<u8>>,
}

/// Manner in which the output comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Delivery {
    /// All of it is there at once, with the end.
    #[default]
    Whole,
    /// It comes bit by bit, and begins with its first content.
    Streamed,
}

/// The end of a response, as its pool is told of it.
pub(in crate::stream) struct ResponseEnd {
    /// Beginning, if it was not told before; `None` too for a response without one.
    pub(in crate::stream) start: Option<ResponseStart>,
    pub(in crate::stream) end: End,
}

impl Response {
    /// Begins a response by its headers, which tell how to read the body. A body that is to be changed has
    /// another length, so the header with it is removed while Envoy still holds the headers.
    pub(in crate::stream) fn begin(headers: &Headers, models: &Models) -> Self {
        let header = |name| headers.last(name);
        let status = header(":status").and_then(|it| std::str::from_utf8(it).ok()?.parse().ok());
        let kind = Kind::from_headers(header("content-type"), header("content-encoding"));
        let has_length = header("content-length").is_some();
        let renamed = models.are_renamed() && kind.is_read();
        if renamed && has_length {
            host::remove_response_header("content-length");
        }
        let is_streamed = kind.has_events() || (kind != Kind::Json && !has_length);
        Self {
            reader: Reader::new(kind),
            status: status.unwrap_or_default(),
            delivery: if is_streamed { Delivery::Streamed } else { Delivery::Whole },
            renamer: renamed.then(|| Renamer::new(kind, &models.asked)),
            ..Self::default()
        }
    }

    /// Looks for the name of what the endpoint keeps, if the answer is to have one.
    pub(in crate::stream) fn find_name(&mut self) {
        if (200..300).contains(&self.status) {
            self.made = MadeName::new(self.reader.kind());
        }
    }

    /// True if the beginning is not known by the headers: that of a stream is its first content, that of
    /// anything else its end. Headers that say an error say all there is to say, unless the end follows in
    /// the same moment.
    pub(in crate::stream) fn begins_later(&self, headers: &Headers) -> bool {
        let has_length = headers.last("content-length").is_some();
        self.is_well() || (has_length && !self.is_streamed())
    }

    /// True if the output comes bit by bit.
    pub(in crate::stream) fn is_streamed(&self) -> bool {
        self.delivery == Delivery::Streamed
    }

    /// True if the status is no error's. 101 is that of an upgrade that was taken.
    fn is_well(&self) -> bool {
        self.status == 101 || (200..400).contains(&self.status)
    }

    /// Reads a part of the body as it passes. No part is held back: the client sees each token when it
    /// comes. Returns the time of the first content, if this part brought it.
    pub(in crate::stream) fn pass(&mut self, size: usize, is_end: bool) -> Option<Instant> {
        let (had_content, events) = (self.reader.has_content(), self.reader.events());
        if self.reader.kind().is_read() {
            self.read(size, is_end);
        } else {
            self.reader.pass(size);
        }
        if is_end {
            self.end();
        }
        if !self.is_streamed() {
            return None;
        }
        let is_first = !had_content && self.reader.has_content();
        if is_first || self.reader.events() > events {
            let now = self.whole_at.unwrap_or_else(host::now);
            self.count_gap(now);
            self.content_at = self.content_at.or(Some(now));
        }
        self.content_at.filter(|_| is_first)
    }

    /// Counts the time since the last event with content, if there was one.
    fn count_gap(&mut self, now: Instant) {
        if let Some(last) = self.event_at.replace(now) {
            self.gaps.record(Measure::StreamedItl, micros(now.saturating_since(last)));
        }
    }

    /// Returns the times between the events of a stream.
    pub(in crate::stream) const fn gaps(&self) -> &Count {
        &self.gaps
    }

    /// Reads a part of the body, unless its size tells all that matters: to copy it costs several times as
    /// much as its passing. A name that is to be changed may be in any part.
    fn read(&mut self, size: usize, is_end: bool) {
        if self.renamer.is_none() && !is_end && self.reader.pass_usual(size) {
            return;
        }
        let chunk = if size > 0 { host::response_body(size) } else { Vec::new() };
        self.reader.push(&chunk);
        if let Some(made) = &mut self.made {
            self.made_name = made.push(&chunk).map(<[u8]>::to_vec);
            if self.made_name.is_some() || made.is_over() {
                self.made = None;
            }
        }
        let changed = self.renamer.as_mut().and_then(|renamer| renamer.push(&chunk));
        if let Some(changed) = changed {
            host::set_response_body(size, &changed);
        }
    }

    /// Ends the body, with its last part or with the trailers behind it.
    pub(in crate::stream) fn end(&mut self) {
        self.is_whole = true;
        self.reader.end();
        if self.reader.bytes() > 0 {
            self.whole_at = Some(host::now());
        }
    }

    /// Returns the time of the output's beginning, and the time that it took: to its end, or until
    /// `gone_at` if that did not come. What is not streamed is there at once, at its end.
    pub(in crate::stream) fn body(&self, gone_at: Instant) -> Option<(Instant, Duration)> {
        let began_at = if self.is_streamed() { self.content_at? } else { self.whole_at? };
        let ended_at = self.whole_at.unwrap_or(gone_at);
        Some((began_at, ended_at.saturating_since(began_at)))
    }

    /// Takes the end of the response. Before `on_log` only if all of it has passed.
    pub(in crate::stream) fn take_end(&mut self, client: impl FnOnce() -> ClientId) -> ResponseEnd {
        let start = self.start.take();
        if !self.is_well() {
            return ResponseEnd { start, end: End::Gone };
        }
        let broke = !self.is_whole && host::upstream_broke();
        let failure = match self.reader.error() {
            _ if broke => Some(ResponseClass::Failed(Fault::Endpoint)),
            error => error.map(|status| ResponseClass::from_status(status, client)),
        };
        let has_content = self.reader.has_content();
        match (start, failure) {
            // What fails before any content has answered with the failure.
            (Some(start), Some(class)) if !broke || !has_content => {
                ResponseEnd { start: Some(ResponseStart { class, ..start }), end: End::Gone }
            }
            (start, Some(ResponseClass::Failed(fault))) => {
                ResponseEnd { start, end: End::Broken(fault) }
            }
            (start, Some(ResponseClass::Refused | ResponseClass::Taken)) => {
                ResponseEnd { start, end: End::Gone }
            }
            (start, None) if self.is_whole => ResponseEnd { start, end: End::Whole },
            // A client that left before anything came had no answer.
            (start, None) => ResponseEnd { start: start.filter(|_| has_content), end: End::Gone },
        }
    }

    /// Returns the mean time between the tokens of a stream that came well and whole.
    pub(in crate::stream) fn tpot(&self) -> Option<Duration> {
        let (_, streamed) = self.body(self.whole_at?)?;
        let gap = mean_gap(streamed, self.reader.output_tokens(OutputWishes::default()).tokens);
        gap.filter(|_| self.error().is_none())
    }

    /// Returns the usage that a response tells which came whole and without an error.
    pub(in crate::stream) fn whole_usage(&self) -> Option<Usage> {
        let is_whole = self.is_whole && self.is_well() && self.reader.error().is_none();
        self.reader.usage().filter(|_| is_whole)
    }

    /// Classifies the response for the endpoint that sent it, by its status; no status is no answer.
    pub(in crate::stream) fn class(&self, client: impl FnOnce() -> ClientId) -> ResponseClass {
        ResponseClass::from_status(self.status, client)
    }

    /// Returns the EPP's code of its failure: by the status, by an error that the body carries, or because
    /// it broke off or never came.
    pub(in crate::stream) fn error(&self) -> Option<ErrorCode> {
        let is_well = self.is_well()
            && self.reader.error().is_none()
            && (self.is_whole || !host::upstream_broke());
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
