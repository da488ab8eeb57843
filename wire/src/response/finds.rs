//! Finds of a reader: the usage, the output and the error that an answer or an event tells of.

use super::words::{Says, TokenCount};

/// Tokens of one request, as the model server counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens that were generated.
    pub output_tokens: u32,
    /// Tokens of the prompt that were cached, where the server says so.
    pub cached_tokens: Option<u32>,
}

/// Status of an error that names none.
const STATUS_UNKNOWN: u16 = 500;

/// Bytes of output for which a number counts: a token's id stands for a token.
const NUMBER_BYTES: usize = 4;

/// Finds in one JSON document.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "two finds, either of which comes alone")]
pub(super) struct Finds {
    /// Bytes of the model's output, escapes as written.
    pub(super) output_bytes: usize,
    pub(super) shape: Shape,
    /// True if the reason is told for which the output ends.
    pub(super) has_finished: bool,
    /// True if the document is an error.
    is_error: bool,
    /// HTTP status of the error, where it is told.
    status: Option<u16>,
    pub(super) counts: UsageCounts,
}

/// Shape of a document, by its keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shape {
    /// No key of any dialect.
    #[default]
    Unknown,
    /// A key of a dialect.
    Known,
    /// A key of OpenAI's or Anthropic's, in which a search for a few words finds usage and errors.
    Common,
}

/// Scalar value, as far as it is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scalar<'a> {
    /// A string: its length and its beginning, escapes as written.
    Text {
        /// Bytes between the quotes.
        bytes: usize,
        /// Beginning, up to the longest word that means something.
        start: &'a [u8],
    },
    /// A whole number that is not negative.
    Number(u64),
    /// `true`.
    True,
}

impl Finds {
    /// Takes in the value of a field.
    pub(super) fn take_scalar(&mut self, says: Says, value: Scalar<'_>) {
        match (says, value) {
            (Says::Output, Scalar::Text { bytes, .. }) => {
                self.output_bytes = self.output_bytes.saturating_add(bytes);
            }
            (Says::Output, Scalar::Number(_)) => {
                self.output_bytes = self.output_bytes.saturating_add(NUMBER_BYTES);
            }
            (Says::Count(count), Scalar::Number(number)) => self.counts.set(count, number),
            (Says::Finish, Scalar::Text { bytes: 1.., start }) => {
                self.has_finished = true;
                self.is_error |= start == b"error";
            }
            (Says::Error, Scalar::Text { bytes: 1.., .. } | Scalar::True) => self.is_error = true,
            (Says::ErrorStatus, Scalar::Number(status)) => self.set_status(status),
            (Says::ErrorWords(words), Scalar::Text { start, .. }) => {
                let found = words.iter().find(|(word, _)| word.as_bytes() == start);
                if let Some((_, status)) = found {
                    self.is_error = true;
                    let told = Some(*status).filter(|it| *it != STATUS_UNKNOWN);
                    self.status = self.status.or(told);
                }
            }
            _ => (),
        }
    }

    /// Takes in that the value of a field is an object.
    pub(super) fn take_object(&mut self, says: Says) {
        self.is_error |= matches!(says, Says::Error);
    }

    fn set_status(&mut self, status: u64) {
        let status = u16::try_from(status).ok().filter(|it| (400..600).contains(it));
        self.status = status.or(self.status);
    }

    /// Returns the HTTP status that the error would have had outside of a stream; `None` if there is no
    /// error.
    pub(super) fn error(&self) -> Option<u16> {
        self.is_error.then(|| self.status.unwrap_or(STATUS_UNKNOWN))
    }
}

/// Counts of a usage, under whichever dialect's names they came.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UsageCounts {
    prompt: Option<u32>,
    output: Option<u32>,
    cached: Option<u32>,
    cache_read: Option<u32>,
    cache_creation: Option<u32>,
}

impl UsageCounts {
    /// Sets a count. A number that no request can have is no count.
    fn set(&mut self, count: TokenCount, number: u64) {
        let Ok(number) = u32::try_from(number) else { return };
        let slot = match count {
            TokenCount::Prompt => &mut self.prompt,
            TokenCount::Output => &mut self.output,
            TokenCount::Cached => &mut self.cached,
            TokenCount::CacheRead => &mut self.cache_read,
            TokenCount::CacheCreation => &mut self.cache_creation,
        };
        *slot = Some(number);
    }

    /// True if tokens of the answer are counted, be it none.
    pub(super) const fn has_output(&self) -> bool {
        self.output.is_some()
    }

    /// Takes in the counts of a later event, which hold for the answer so far. Those of the prompt
    /// belong together: a part of it may not be counted twice.
    pub(super) fn merge(&mut self, later: Self) {
        let output = later.output.or(self.output);
        *self = if later.prompt.is_some() {
            Self { output, ..later }
        } else {
            Self { output, ..*self }
        };
    }

    /// Returns the usage; `None` if nothing was counted.
    pub(super) fn usage(self) -> Option<Usage> {
        (self.prompt.is_some() || self.output.is_some()).then(|| {
            let prompt = [self.prompt, self.cache_read, self.cache_creation];
            Usage {
                prompt_tokens: prompt.into_iter().flatten().fold(0, u32::saturating_add),
                output_tokens: self.output.unwrap_or_default(),
                cached_tokens: self.cached.or(self.cache_read),
            }
        })
    }
}
