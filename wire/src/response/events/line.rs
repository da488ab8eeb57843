//! The line of a stream that is being read.

/// Bytes of the beginning of a line that tell its field: `event` and `data` with their colons.
const FIELD_MAX: usize = 6;

/// The present line.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LineState {
    pub(super) start: [u8; FIELD_MAX],
    /// Bytes of the line so far, as far as they are in `start`.
    pub(super) len: usize,
    pub(super) field: LineField,
    /// True behind a carriage return, which a line feed may follow.
    pub(super) is_behind_cr: bool,
    pub(super) progress: LineProgress,
}

/// Progress of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum LineProgress {
    /// No byte came.
    #[default]
    Empty,
    /// A byte came.
    Begun,
    /// A part of its data came.
    Data,
}

/// Field of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum LineField {
    /// Not told yet.
    #[default]
    Open,
    Data,
    Event,
    /// A comment, an id, a wish for the time of retries, or none that there is.
    Other,
}

impl LineState {
    /// Takes in a part of a line whose field is not told yet. Returns what is behind the field.
    pub(super) fn take_start<'a>(&mut self, mut part: &'a [u8]) -> &'a [u8] {
        while let Some((byte, rest)) = part.split_first() {
            part = rest;
            if *byte == b':' {
                self.field = match self.start.get(..self.len) {
                    Some(b"data") => LineField::Data,
                    Some(b"event") => LineField::Event,
                    _ => LineField::Other,
                };
                return part;
            }
            let Some(slot) = self.start.get_mut(self.len) else {
                self.field = LineField::Other;
                return part;
            };
            *slot = *byte;
            self.len += 1;
        }
        part
    }
}
