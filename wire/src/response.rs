//! Responses, read as they stream past: their first content, their cost, their failure, and the name of
//! their model. Nothing is held back but what may be the beginning of a name to be changed.

// Fields by their paths, and what they tell.
mod finds;
mod words;

// Bytes to fields: a document, and the events of a stream.
mod document;
mod events;
mod lanes;
mod name;
mod usual_sizes;
mod watch;

// Changed on the way.
mod renamer;

// Found on the way.
mod made_name;

// Read off the headers.
mod load;

use crate::body::OutputWishes;
use document::Document;
use events::{EventForm, Events};
use finds::Shape;
use usual_sizes::UsualSizes;

pub use finds::Usage;
pub use load::LoadReport;
pub use made_name::MadeName;
pub use renamer::Renamer;

/// Form of a response's body, by its headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// `application/json`: one document.
    Json,
    /// `text/event-stream`: server-sent events.
    Events,
    /// `application/x-ndjson` and its like: a document a line.
    Lines,
    /// Any of these in an encoding such as gzip, of which nothing is read.
    Encoded,
    /// Any other, of which nothing is read.
    #[default]
    Other,
}

/// Bytes of an encoding's own before the first content: gzip's header has 10, an empty block that a
/// server flushes behind it 5, zstd's and brotli's have fewer.
const ENCODING_BYTES_MAX: u64 = 18;

/// Bytes for which a token is charged where nothing tells output from the rest: as for prompts.
const TOKEN_BYTES: u64 = 4;

/// Bytes of sound or pictures for which a token is charged: 24,000 samples of two bytes a second stand
/// for 75 to 200 tokens in today's models, and files of sound are about a tenth of that.
const MEDIA_TOKEN_BYTES: u64 = 64;

/// Compressed text has at most about two tokens a byte, unless it repeats itself.
const ENCODED_TOKENS_PER_BYTE: u64 = 2;

/// Tokens charged for output that the client asked to be left out, without a limit on it: as many as
/// a long chain of thoughts has.
const HIDDEN_TOKENS: u32 = 4_096;

impl Kind {
    /// Returns the form by the response's `content-type`, of which parameters such as the charset do
    /// not matter, and its `content-encoding`.
    #[must_use]
    pub fn from_headers(content_type: Option<&[u8]>, content_encoding: Option<&[u8]>) -> Self {
        let kind = content_type.map(Self::from_content_type).unwrap_or_default();
        let is_plain = content_encoding.is_none_or(|it| it.trim_ascii() == b"identity");
        if is_plain || kind == Self::Other { kind } else { Self::Encoded }
    }

    fn from_content_type(content_type: &[u8]) -> Self {
        let kind = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
        let kind = kind.trim_ascii();
        let is = |known: &&[u8]| kind.eq_ignore_ascii_case(known);
        let json: [&[u8]; 2] = [b"application/json", b"application/problem+json"];
        let lines: [&[u8]; 4] = [
            b"application/x-ndjson",
            b"application/ndjson",
            b"application/jsonl",
            b"application/x-jsonlines",
        ];
        if json.iter().any(is) {
            Self::Json
        } else if kind.eq_ignore_ascii_case(b"text/event-stream") {
            Self::Events
        } else if lines.iter().any(is) {
            Self::Lines
        } else {
            Self::Other
        }
    }

    /// True if the bytes of such a body are read.
    #[must_use]
    pub const fn is_read(self) -> bool {
        matches!(self, Self::Json | Self::Events | Self::Lines)
    }

    /// True if such a body is a stream of events, and not one document.
    #[must_use]
    pub const fn has_events(self) -> bool {
        matches!(self, Self::Events | Self::Lines)
    }
}

/// Tokens that were generated, as far as the answer tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputTokens {
    /// Number of tokens.
    pub tokens: u32,
    /// True if the engine did not count them in its answer.
    pub is_estimate: bool,
}

/// Reader of a response, to which all that comes of it is pushed.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    kind: Kind,
    bytes: u64,
    parts: Parts,
    usual: UsualSizes,
}

/// Part of a body that is read.
#[derive(Clone, Debug, Default)]
enum Parts {
    #[default]
    Unread,
    Whole(Box<Document>),
    Stream(Box<Events>),
}

impl Reader {
    /// Returns a reader of a response of that form, of which nothing has come.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        let parts = match kind {
            Kind::Json => Parts::Whole(Box::default()),
            Kind::Events => Parts::Stream(Box::new(Events::new(EventForm::Fields))),
            Kind::Lines => Parts::Stream(Box::new(Events::new(EventForm::Lines))),
            Kind::Encoded | Kind::Other => Parts::Unread,
        };
        Self { kind, bytes: 0, parts, usual: UsualSizes::default() }
    }

    /// Returns the form of the response.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Appends a chunk. The places where chunks are cut make no difference.
    pub fn push(&mut self, chunk: &[u8]) {
        self.pass(chunk.len());
        match &mut self.parts {
            Parts::Unread => (),
            Parts::Whole(document) => document.push(chunk),
            Parts::Stream(events) => {
                let begins_with_event = events.is_between();
                events.push(chunk);
                if events.may_pass_some() {
                    self.usual.learn(events.form, begins_with_event, chunk);
                }
            }
        }
    }

    /// Takes in a chunk that need not be read, as its size says that it brings a token and nothing else.
    /// False if it is to be pushed.
    #[must_use]
    pub fn pass_usual(&mut self, size: usize) -> bool {
        let Parts::Stream(events) = &mut self.parts else { return false };
        let passes = self.usual.has(size) && events.may_pass();
        if passes {
            events.pass();
            self.pass(size);
        }
        passes
    }

    /// Counts the bytes of a chunk that is not read.
    pub fn pass(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// Ends the body.
    pub fn end(&mut self) {
        match &mut self.parts {
            Parts::Unread => (),
            Parts::Whole(document) => document.push(b"\n"),
            Parts::Stream(events) => events.end(),
        }
    }

    /// Returns the number of bytes that came.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// True once a part of the model's output came. Of a whole document it comes with the end, so this
    /// says no more of it than that its body has begun.
    #[must_use]
    pub fn has_content(&self) -> bool {
        match &self.parts {
            Parts::Stream(events) => events.outputs() > 0,
            Parts::Unread if self.kind == Kind::Encoded => self.bytes > ENCODING_BYTES_MAX,
            Parts::Unread | Parts::Whole(_) => self.bytes > 0,
        }
    }

    /// Returns the usage, as far as it came; that of a whole response once all of it came. `None` if
    /// the response says none, as a stream that was not asked for it.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        match &self.parts {
            Parts::Unread => None,
            Parts::Whole(document) => document.finds.counts.usage(),
            Parts::Stream(events) => events.usage(),
        }
    }

    /// Returns the tokens that were generated: as the usage says, else by events and bytes, within what
    /// the request allowed. A tenant cannot go uncharged by having its usage left out, nor by leaving
    /// between a stream's first usage, which counts no output yet, and its last.
    #[must_use]
    pub fn output_tokens(&self, wishes: OutputWishes) -> OutputTokens {
        if let Some(usage) = self.usage().filter(|_| self.is_counted()) {
            return OutputTokens { tokens: usage.output_tokens, is_estimate: false };
        }
        let OutputWishes { tokens_max, hides_some } = wishes;
        let most = tokens_max.unwrap_or(u32::MAX);
        let by_bytes = |tokens: u64| u32::try_from(tokens).unwrap_or(u32::MAX).min(most);
        let is_empty = self.bytes == 0;
        let tokens = match &self.parts {
            Parts::Unread if is_empty => 0,
            Parts::Stream(_) if hides_some => tokens_max.unwrap_or(HIDDEN_TOKENS),
            Parts::Stream(events) => events.tokens().min(most),
            Parts::Whole(document) if document.finds.shape != Shape::Unknown => {
                let bytes = u64::try_from(document.finds.output_bytes).unwrap_or(u64::MAX);
                by_bytes(bytes / TOKEN_BYTES)
            }
            Parts::Whole(_) => by_bytes(self.bytes / TOKEN_BYTES),
            Parts::Unread if self.kind == Kind::Encoded => tokens_max
                .unwrap_or_else(|| by_bytes(self.bytes.saturating_mul(ENCODED_TOKENS_PER_BYTE))),
            Parts::Unread => by_bytes(self.bytes / MEDIA_TOKEN_BYTES),
        };
        OutputTokens { tokens, is_estimate: true }
    }

    /// True if the usage counts all output that came: a stream tells of it at its end, and may tell before.
    const fn is_counted(&self) -> bool {
        match &self.parts {
            Parts::Unread | Parts::Whole(_) => true,
            Parts::Stream(events) => events.is_counted(),
        }
    }

    /// Returns the number of events with output that have ended so far. Comments, pings and what only
    /// frames the output are none.
    #[must_use]
    pub fn events(&self) -> u32 {
        if let Parts::Stream(events) = &self.parts { events.outputs() } else { 0 }
    }

    /// Returns the HTTP status of an error that the body carries: the one that it names, else 500.
    /// `None` if there is no error.
    #[must_use]
    pub fn error(&self) -> Option<u16> {
        match &self.parts {
            Parts::Unread => None,
            Parts::Whole(document) => document.finds.error(),
            Parts::Stream(events) => events.error(),
        }
    }
}
