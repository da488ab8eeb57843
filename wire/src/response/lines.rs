//! The lines of a stream of server-sent events: the number of events, and whether one is an error.

use memchr::memchr;

use crate::body::Dialect;

/// Bytes of a line's beginning that are kept: as many as the longest beginning by which a dialect
/// says that a stream has failed.
const HEAD: usize = 22;

/// Lines of a stream so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    head: [u8; HEAD],
    /// Bytes of the unfinished line, as far as they are in the head.
    len: usize,
    events: u32,
    errors: u32,
    /// True within an event, which ends with an empty line, and only if there was a line before
    /// that.
    in_event: bool,
}

impl Lines {
    pub(super) fn push(&mut self, mut chunk: &[u8]) {
        while let Some(end) = memchr(b'\n', chunk) {
            let (line, rest) = chunk.split_at(end);
            self.append(line);
            self.end();
            chunk = rest.split_first().map_or(&[], |(_, rest)| rest);
        }
        self.append(chunk);
    }

    fn append(&mut self, part: &[u8]) {
        let room = self.head.get_mut(self.len..).unwrap_or_default();
        let taken = room.len().min(part.len());
        room.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
        self.len += taken;
    }

    fn end(&mut self) {
        let line = self.head.get(..self.len).unwrap_or_default();
        // A line may end with a carriage return too.
        let is_empty = line.is_empty() || line == b"\r";
        let is_error = Dialect::is_stream_error(line);
        self.errors = self.errors.saturating_add(u32::from(is_error));
        self.events = self.events.saturating_add(u32::from(is_empty && self.in_event));
        self.in_event = !is_empty;
        self.len = 0;
    }

    pub(super) const fn events(&self) -> u32 {
        self.events
    }

    pub(super) const fn has_failed(&self) -> bool {
        self.errors > 0
    }
}

#[cfg(test)]
mod tests {
    use super::{Dialect, HEAD};

    #[test]
    fn an_error_is_told_by_what_is_kept_of_a_line() {
        assert_eq!(Dialect::stream_error_max(), HEAD);
    }
}
