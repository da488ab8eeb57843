//! The events of a streamed answer: server-sent events, or lines of JSON.
//!
//! Until the first content every event is read whole, as only its fields tell content from what engines
//! send before it. Behind that a usual event is not read: two searches over it, for its line's end and
//! for a word of the few that matter, must be all that it costs. Some are read nevertheless, ever fewer
//! of them, to know how much output an event brings.

mod line;

use memchr::memchr2;

use line::{LineField, LineProgress, LineState};

use super::{
    document::Document,
    finds::{Finds, Shape, Usage, UsageCounts},
    name::EventName,
    watch::Watch,
};

/// Bytes that stand for a token where none are counted, as for prompts.
const TOKEN_BYTES: u64 = 4;

/// Beginning of the data of an event behind which there is none, and of one that only shows life.
const END: &[u8] = b"[DONE]";
const PINGS: [&[u8]; 2] = [b"{\"type\":\"ping\"", b"{\"type\": \"ping\""];

/// Bytes of the beginning of data that are kept until it is whole: the longest of those.
const LEAD_MAX: usize = 15;

/// Form in which events come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum EventForm {
    /// Server-sent events.
    #[default]
    Fields,
    /// A line of JSON for each event.
    Lines,
}

/// Reader of a stream of events.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "what a stream has shown so far, in any mix")]
pub(super) struct Events {
    pub(super) form: EventForm,
    line: LineState,
    event: EventState,
    /// Number of events with output so far, and of those behind the last usage that counted any.
    outputs: u32,
    uncounted: u32,
    /// Number of those that were read, and the bytes of output in them.
    sampled: u32,
    sampled_bytes: u64,
    /// True if the first content was of a dialect of which every event has to be read.
    reads_all: bool,
    /// Number of events and lines with data so far.
    documents: u32,
    /// True if one said the reason of the end.
    has_finished: bool,
    counts: UsageCounts,
    error: Option<u16>,
}

/// The present event.
#[derive(Clone, Debug, Default)]
struct EventState {
    name: EventName,
    document: Document,
    lead: [u8; LEAD_MAX],
    lead_len: usize,
    data: DataState,
    /// Sight of the present line's data; `None` where the data are to be read in any case.
    watch: Option<Watch>,
}

/// Progress of an event's data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum DataState {
    /// There is none yet.
    #[default]
    None,
    /// It is read.
    Read,
    /// It was not read, as nothing in it matters.
    Skipped,
}

impl Events {
    pub(super) fn new(form: EventForm) -> Self {
        Self { form, ..Self::default() }
    }

    /// Returns a reader that reads each event whole, for a chunk that is looked at by itself.
    pub(super) fn by_itself(form: EventForm) -> Self {
        Self { reads_all: true, ..Self::new(form) }
    }

    /// True between events.
    pub(super) fn is_between(&self) -> bool {
        self.line.progress == LineProgress::Empty
            && self.event.data == DataState::None
            && self.event.name.is_empty()
    }

    /// True if events may pass unread that bring a token and nothing else.
    pub(super) const fn may_pass_some(&self) -> bool {
        self.outputs > 0 && !self.reads_all
    }

    /// True if the next event may pass unread if it brings a token and nothing else.
    pub(super) fn may_pass(&self) -> bool {
        self.may_pass_some() && !self.is_sample() && self.is_between()
    }

    /// Counts an event with output.
    pub(super) const fn pass(&mut self) {
        self.outputs = self.outputs.saturating_add(1);
        self.uncounted = self.uncounted.saturating_add(1);
    }

    /// Returns the bytes of output if all that came is one event with output, and it tells nothing else.
    pub(super) fn only_text(&self) -> Option<usize> {
        let is_only = self.documents == 1 && self.outputs == 1 && self.is_between();
        let tells_more = self.error.is_some() || self.has_finished || self.usage().is_some();
        (is_only && !tells_more).then(|| usize::try_from(self.sampled_bytes).ok())?
    }

    /// True if an event said the reason of the end.
    pub(super) const fn has_finished(&self) -> bool {
        self.has_finished
    }

    pub(super) fn push(&mut self, mut chunk: &[u8]) {
        while let Some((first, behind)) = chunk.split_first() {
            if std::mem::take(&mut self.line.is_behind_cr) && *first == b'\n' {
                chunk = behind;
                continue;
            }
            let Some(end) = memchr2(b'\n', b'\r', chunk) else {
                self.append(chunk, false);
                return;
            };
            let (line, rest) = chunk.split_at(end);
            self.append(line, true);
            self.end_line();
            self.line.is_behind_cr = rest.first() == Some(&b'\r');
            chunk = rest.get(1..).unwrap_or_default();
        }
    }

    /// Ends the stream. The last event may lack its empty line.
    pub(super) fn end(&mut self) {
        self.end_line();
        self.end_event();
    }

    /// Appends a part of a line, which may be its last.
    fn append(&mut self, part: &[u8], is_last: bool) {
        if part.is_empty() {
            return;
        }
        let is_first = self.line.progress == LineProgress::Empty;
        if is_first {
            self.line.progress = LineProgress::Begun;
        }
        let is_whole = is_first && is_last;
        if self.form == EventForm::Lines {
            return self.take_data(part, is_whole);
        }
        let rest = match self.line.field {
            LineField::Open if is_first && part.starts_with(b"data:") => {
                self.line.field = LineField::Data;
                part.get(5..).unwrap_or_default()
            }
            LineField::Open => self.line.take_start(part),
            LineField::Data | LineField::Event | LineField::Other => part,
        };
        match self.line.field {
            LineField::Data => self.take_data(rest, is_whole),
            LineField::Event => self.event.name.append(rest),
            LineField::Open | LineField::Other => (),
        }
    }

    fn end_line(&mut self) {
        let is_empty = self.line.progress == LineProgress::Empty;
        if self.event.watch.is_some() {
            self.end_data();
        }
        self.line = LineState { is_behind_cr: self.line.is_behind_cr, ..LineState::default() };
        if is_empty || self.form == EventForm::Lines {
            self.end_event();
        }
    }

    /// Takes in a part of an event's data; all of its line, if that is whole.
    fn take_data(&mut self, data: &[u8], is_whole: bool) {
        // Data over several lines are one document, or one in each line as some servers write them.
        let before = std::mem::replace(&mut self.line.progress, LineProgress::Data);
        if before != LineProgress::Data && self.event.has_whole_document() {
            self.end_document();
        }
        let begins = self.event.data == DataState::None && self.event.lead_len == 0;
        if begins {
            let needs_reading = self.outputs == 0 || self.reads_all || self.is_sample();
            self.event.watch = (!needs_reading).then(Watch::default);
        }
        let event = &mut self.event;
        let data = if event.lead_len == 0 { data.trim_ascii_start() } else { data };
        event.keep_lead(data);
        if let Some(watch) = &mut event.watch {
            watch.push(data);
            if is_whole && event.may_be_skipped() {
                event.data = DataState::Skipped;
                return;
            }
        }
        if event.lead_len > 0 {
            event.data = DataState::Read;
            event.document.push(data);
        }
    }

    /// Ends a line of data. What was only read because it came in pieces counts as not read, so that it
    /// makes no difference where it was cut.
    fn end_data(&mut self) {
        let event = &mut self.event;
        if event.data == DataState::Read && event.may_be_skipped() {
            event.data = DataState::Skipped;
            event.document = Document::default();
        }
        event.watch = None;
    }

    /// True if the next event with output is one of those that are read: the first, the second, the
    /// fourth and so on.
    fn is_sample(&self) -> bool {
        self.outputs.saturating_add(1).is_power_of_two()
    }

    fn end_event(&mut self) {
        self.end_document();
        self.note_error(self.event.name.error());
        self.event.name.clear();
    }

    /// Ends a document of an event's data, if there is one.
    fn end_document(&mut self) {
        match self.event.data {
            DataState::None => return,
            DataState::Skipped => {
                if self.event.is_output_by_name() {
                    self.pass();
                }
            }
            DataState::Read => {
                let mut document = std::mem::take(&mut self.event.document);
                // A number may stand at the end of what is no object.
                document.push(b"\n");
                self.take_finds(&document.finds);
            }
        }
        self.documents = self.documents.saturating_add(1);
        self.event.data = DataState::None;
        self.event.lead_len = 0;
    }

    fn take_finds(&mut self, finds: &Finds) {
        let error = finds.error().or_else(|| self.event.name.error());
        self.note_error(error);
        self.counts.merge(finds.counts);
        self.has_finished |= finds.has_finished;
        let is_output = finds.output_bytes > 0 || finds.shape == Shape::Unknown;
        if error.is_none() && is_output && self.event.is_output_by_name() {
            self.sample(finds);
        }
        if finds.counts.has_output() {
            self.uncounted = 0;
        }
    }

    /// Counts an event with output that was read.
    fn sample(&mut self, finds: &Finds) {
        if self.outputs == 0 {
            self.reads_all |= finds.shape != Shape::Common;
        }
        self.pass();
        if finds.output_bytes > 0 {
            self.sampled = self.sampled.saturating_add(1);
            let bytes = u64::try_from(finds.output_bytes).unwrap_or(u64::MAX);
            self.sampled_bytes = self.sampled_bytes.saturating_add(bytes);
        }
    }

    fn note_error(&mut self, error: Option<u16>) {
        self.error = self.error.or(error);
    }

    pub(super) const fn outputs(&self) -> u32 {
        self.outputs
    }

    /// True if the usage counts all output that came.
    pub(super) const fn is_counted(&self) -> bool {
        self.uncounted == 0
    }

    /// Returns the HTTP status of the stream's first error.
    pub(super) const fn error(&self) -> Option<u16> {
        self.error
    }

    pub(super) fn usage(&self) -> Option<Usage> {
        self.counts.usage()
    }

    /// Estimates the tokens that were generated: an event each, or more where those that were read have
    /// more output than a token's.
    pub(super) fn tokens(&self) -> u32 {
        let events = u64::from(self.outputs);
        let sampled = u64::from(self.sampled.max(1)) * TOKEN_BYTES;
        let by_bytes = events.saturating_mul(self.sampled_bytes) / sampled;
        u32::try_from(events.max(by_bytes)).unwrap_or(u32::MAX)
    }
}

impl EventState {
    fn keep_lead(&mut self, data: &[u8]) {
        let room = self.lead.get_mut(self.lead_len..).unwrap_or_default();
        self.lead_len += room.len().min(data.len());
        room.iter_mut().zip(data).for_each(|(to, from)| *to = *from);
    }

    /// True if the data so far are a whole document.
    fn has_whole_document(&self) -> bool {
        match self.data {
            DataState::None => false,
            DataState::Skipped => true,
            DataState::Read => self.document.is_whole(),
        }
    }

    /// True if the data need not be read, by what was seen of them.
    fn may_be_skipped(&self) -> bool {
        self.watch.is_some_and(Watch::is_of_no_use) && !self.name.needs_data()
    }

    /// True if the event is of a kind that has output, as far as its name and its beginning tell.
    fn is_output_by_name(&self) -> bool {
        let lead = self.lead.get(..self.lead_len).unwrap_or_default();
        let is_mark = lead.starts_with(END) || PINGS.iter().any(|ping| lead.starts_with(ping));
        !is_mark && self.name.may_have_output()
    }
}
