//! Responses, read as they stream past: their cost, their failure, and the name of their model.
//! Nothing is held back but what may be the beginning of a name to be changed.

// Read on the way: events and errors, tokens.
mod lines;
mod usage;

// Changed on the way.
mod renamer;

// Read off the headers.
mod load;

use lines::Lines;
use usage::Ends;

pub use load::LoadReport;
pub use renamer::Renamer;
pub use usage::Usage;

/// Form of a response's body, by its content type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// `application/json`.
    Json,
    /// `text/event-stream`: server-sent events.
    Events,
    /// Any other, of which nothing is read.
    #[default]
    Other,
}

impl Kind {
    /// Returns the form by the response's `content-type`; parameters such as the charset do not
    /// matter.
    #[must_use]
    pub fn from_content_type(content_type: &[u8]) -> Self {
        let kind = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
        let kind = kind.trim_ascii();
        if kind.eq_ignore_ascii_case(b"application/json") {
            Self::Json
        } else if kind.eq_ignore_ascii_case(b"text/event-stream") {
            Self::Events
        } else {
            Self::Other
        }
    }
}

/// Reader of a response, to which all that comes of it is pushed.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    kind: Kind,
    ends: Ends,
    lines: Lines,
}

impl Reader {
    /// Returns a reader of a response of that form, of which nothing has come.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self { kind, ..Self::default() }
    }

    /// Returns the form of the response.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Appends a chunk. The places where chunks are cut make no difference.
    pub fn push(&mut self, chunk: &[u8]) {
        if self.kind == Kind::Other {
            return;
        }
        if self.kind == Kind::Events {
            self.lines.push(chunk);
        }
        self.ends.push(chunk);
    }

    /// Returns the usage, once the response is whole. `None` if it says none, as a stream that was
    /// not asked for it.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.ends.usage()
    }

    /// Returns the tokens that were generated: as the usage says, else at least as many as there
    /// were events, for a stream that was not asked for its usage. A tenant cannot go uncharged by
    /// not asking.
    #[must_use]
    pub fn output_tokens(&self) -> u32 {
        self.usage().map_or_else(|| self.lines.events(), |usage| usage.output_tokens)
    }

    /// Returns the number of events that have ended so far.
    #[must_use]
    pub const fn events(&self) -> u32 {
        self.lines.events()
    }

    /// True if a stream that had begun well carries an error.
    #[must_use]
    pub const fn has_failed(&self) -> bool {
        self.lines.has_failed()
    }
}
