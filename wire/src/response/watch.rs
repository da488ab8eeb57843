//! A glance at the data of an event, which tells whether they are to be read.

use super::lanes;

/// Sight of data that are not to be read unless something in them matters.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watch {
    matters: bool,
    /// Last bytes: a word may be cut.
    tail: [u8; 2],
    /// Last byte that is no blank.
    last: u8,
}

impl Watch {
    pub(super) fn push(&mut self, part: &[u8]) {
        let [one, two] = self.tail;
        let three = part.first().copied().unwrap_or_default();
        let four = part.get(1).copied().unwrap_or_default();
        self.matters |= lanes::may_matter(part) || lanes::may_matter(&[one, two, three, four]);
        self.tail = match part {
            [.., before, last] => [*before, *last],
            [last] => [two, *last],
            [] => self.tail,
        };
        self.last = part.trim_ascii_end().last().copied().unwrap_or(self.last);
    }

    /// True if nothing in the data matters. Of data over several lines, only the last ends with a brace.
    pub(super) fn is_of_no_use(self) -> bool {
        !self.matters && matches!(self.last, b'}' | b']')
    }
}
