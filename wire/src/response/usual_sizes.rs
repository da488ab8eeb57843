//! Sizes of a stream's usual events, by which those that follow are known unread.
//!
//! A host that copies a chunk to its reader asks several times as much for it as for a chunk that passes. Behind
//! the first content nearly all events of a stream differ in nothing but a token's text, so that their sizes are
//! few: a frame that stays, and a text of some bytes. A size that was read once and brought nothing but a token
//! says the same when it comes again. What tells more than a token has another frame: the reason of the end,
//! usage, errors, marks. So an event is read whenever its size is new, and all are read once the reason of the
//! end came.
//!
//! An event of importance, or a piece of one, is missed if it is to the byte as long as a usual one. Of the
//! servers that were recorded none has such an event: an error is shorter than the frame, or longer than the text
//! that is looked for by [`TEXT_MAX`]. Pieces are seldom, as servers write an event at once; one of the end's
//! events can lose the usage, and the answer is then charged by an earlier usage, or else by its events.

use super::events::{EventForm, Events};

/// Bytes of the longest text of a usual event: nearly all tokens have fewer, and the reason of an end adds 21
/// to a frame of vLLM's, so that no end is as long as a usual event.
const TEXT_MAX: usize = 16;

/// Bytes of the longest event that is learnt from: one that brings a token has some 300, and an event is read
/// a second time for it.
const EVENT_MAX: usize = 4_096;

/// Sizes of the events of one stream that brought a token and nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UsualSizes {
    /// Bytes around the text.
    frame: usize,
    /// A bit for each length of the text that was seen, the lowest for one byte.
    seen: u16,
    /// True once the reason of the end came: usage may follow.
    is_over: bool,
}

impl UsualSizes {
    /// True if a chunk of this size is known to bring a token and nothing else.
    pub(super) fn has(&self, size: usize) -> bool {
        let text = size.checked_sub(self.frame).filter(|text| (1..=TEXT_MAX).contains(text));
        !self.is_over && text.is_some_and(|text| self.seen & Self::bit(text) != 0)
    }

    /// Learns from a chunk that was read. Of one that is not looked at by itself, as it begins within an event
    /// or is too long, the end may be in it: all sizes are new again.
    pub(super) fn learn(&mut self, form: EventForm, begins_with_event: bool, chunk: &[u8]) {
        if self.is_over {
            return;
        }
        if !begins_with_event || chunk.len() > EVENT_MAX {
            *self = Self::default();
            return;
        }
        let mut events = Events::by_itself(form);
        events.push(chunk);
        self.is_over = events.has_finished();
        let Some(text) = events.only_text().filter(|text| (1..=TEXT_MAX).contains(text)) else {
            return;
        };
        let frame = chunk.len().saturating_sub(text);
        if frame != self.frame {
            *self = Self { frame, ..Self::default() };
        }
        self.seen |= Self::bit(text);
    }

    const fn bit(text: usize) -> u16 {
        1 << (text - 1)
    }
}
