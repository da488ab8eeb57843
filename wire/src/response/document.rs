//! The reader of a JSON document that comes in pieces.
//!
//! Nothing of the document is kept but the path to the present value, and that only as far as the tree
//! of words goes: a key that means nothing at its place has its whole value passed over, so that text
//! of the model's, or an echo of the client's own fields, is never taken for the engine's word. A
//! document that is no JSON gives finds that mean nothing, and no more.

use super::{
    finds::{Finds, Scalar, Shape},
    lanes,
    words::{COMMON_KEYS, NodeId, Says, WORD_MAX},
};

/// Levels of objects and arrays that are followed: the deepest path has five keys, and an array may
/// stand around each and around the document.
const LEVELS_MAX: usize = 12;

/// Reader of one document.
#[derive(Clone, Debug, Default)]
pub(super) struct Document {
    state: State,
    levels: [Level; LEVELS_MAX],
    /// Number of open levels.
    depth: usize,
    /// Open levels of a value that means nothing.
    passed: u32,
    /// Node of the value that comes next; `None` if it means nothing.
    next: Option<NodeId>,
    /// Beginning of the present key or string.
    word: [u8; WORD_MAX],
    /// Bytes of the present key or string so far.
    word_bytes: usize,
    /// The present number so far.
    number: u64,
    has_begun: bool,
    pub(super) finds: Finds,
}

/// Object or array that is open.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    /// Node of the fields below; `None` before the document.
    node: Option<NodeId>,
    is_array: bool,
}

/// Place within the document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before a value, or the end of an array.
    #[default]
    Value,
    /// Before a key, or the end of an object.
    Key,
    /// Within a key.
    InKey,
    /// Behind a key.
    Colon,
    /// Within a string that is read.
    InText,
    /// Within a number that is read.
    InNumber,
    /// Within a number of which no more is read.
    InOther,
    /// Behind a value.
    Behind,
    /// Within a string that is passed over.
    PassText,
    /// Within an object or array that is passed over.
    Pass,
    /// Within a string of that.
    PassInner,
    /// Behind a backslash in a string, to whose state this goes back.
    Escaped(Within),
}

/// String in which a backslash stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    Key,
    Text,
    Passed,
    Inner,
}

impl Document {
    /// Reads on.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((byte, after)) = rest.split_first() {
            // Copied, as the arms change it.
            let state = self.state;
            rest = match state {
                State::InKey | State::InText => self.read_text(rest),
                State::PassText | State::PassInner => self.pass_text(rest),
                State::Pass => self.pass(rest),
                State::Escaped(within) => {
                    self.escape(within, *byte);
                    after
                }
                State::InNumber if self.number(*byte) => after,
                State::InNumber | State::InOther if is_in_number(*byte) => {
                    self.state = State::InOther;
                    after
                }
                State::Value
                | State::Key
                | State::Colon
                | State::InNumber
                | State::InOther
                | State::Behind => {
                    self.step(*byte);
                    after
                }
            };
        }
    }

    /// True if a whole value came.
    pub(super) fn is_whole(&self) -> bool {
        let is_behind = matches!(self.state, State::Behind | State::InNumber | State::InOther);
        self.has_begun && self.depth == 0 && is_behind
    }

    /// Takes a byte between strings and numbers.
    fn step(&mut self, byte: u8) {
        self.end_number();
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => (),
            b'{' => self.open(false),
            b'[' => self.open(true),
            b'}' | b']' => self.close(),
            b',' => self.go_on(),
            b':' if self.state == State::Colon => self.state = State::Value,
            b'"' => self.open_text(),
            b'0'..=b'9' if self.state == State::Value && self.says().is_some() => {
                self.number = u64::from(byte - b'0');
                self.state = State::InNumber;
            }
            _ => self.open_other(byte),
        }
    }

    /// Returns the message of the value that comes next, if it has any.
    fn says(&self) -> Option<Says> {
        self.next.map(NodeId::says).filter(|says| !matches!(says, Says::Nothing))
    }

    fn open(&mut self, is_array: bool) {
        let root = (!self.has_begun).then_some(NodeId::ROOT);
        self.has_begun = true;
        let node = root.or(self.next).filter(|_| self.state == State::Value);
        let Some(node) = node.filter(|_| self.depth < LEVELS_MAX) else {
            self.passed = 1;
            self.state = State::Pass;
            return;
        };
        if !is_array {
            self.finds.take_object(node.says());
        }
        let is_read = is_array || node == NodeId::ROOT || node.has_children();
        if !is_read {
            self.passed = 1;
            self.state = State::Pass;
            return;
        }
        if let Some(level) = self.levels.get_mut(self.depth) {
            *level = Level { node: Some(node), is_array };
        }
        self.depth += 1;
        self.next = Some(node).filter(|_| is_array);
        self.state = if is_array { State::Value } else { State::Key };
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.state = State::Behind;
    }

    fn top(&self) -> Level {
        let index = self.depth.checked_sub(1);
        index.and_then(|index| self.levels.get(index)).copied().unwrap_or_default()
    }

    /// Goes on to the next member or element.
    fn go_on(&mut self) {
        let Level { node, is_array } = self.top();
        self.next = node.filter(|_| is_array);
        self.state = if is_array { State::Value } else { State::Key };
    }

    fn open_text(&mut self) {
        self.has_begun = true;
        self.word_bytes = 0;
        self.state = if self.state == State::Key {
            State::InKey
        } else if self.state == State::Value && self.says().is_some() {
            State::InText
        } else {
            State::PassText
        };
    }

    /// Takes the first byte of a literal, of a negative number, or of what is no JSON.
    fn open_other(&mut self, byte: u8) {
        self.has_begun = true;
        if self.state != State::Value {
            return;
        }
        if byte == b't' {
            self.tell(Scalar::True);
        }
        self.state = if is_in_number(byte) { State::InOther } else { State::Behind };
    }

    fn tell(&mut self, value: Scalar<'_>) {
        if let Some(says) = self.says() {
            self.finds.take_scalar(says, value);
        }
    }

    /// Takes a byte of a number; false for the byte behind its whole part.
    fn number(&mut self, byte: u8) -> bool {
        let is_digit = byte.is_ascii_digit();
        if is_digit {
            let digit = u64::from(byte - b'0');
            self.number = self.number.saturating_mul(10).saturating_add(digit);
        } else if matches!(byte, b'e' | b'E') {
            // No engine counts like this.
            self.state = State::InOther;
        } else if byte == b'.' {
            self.end_number();
            self.state = State::InOther;
        }
        is_digit
    }

    fn end_number(&mut self) {
        if self.state == State::InNumber {
            self.tell(Scalar::Number(self.number));
        }
        if matches!(self.state, State::InNumber | State::InOther) {
            self.state = State::Behind;
        }
    }

    /// Reads a key or a string that means something. Returns what is behind the part that was read.
    fn read_text<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let end = lanes::quote(bytes);
        let (part, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        self.append(part);
        let Some((mark, after)) = rest.split_first() else { return rest };
        let is_key = self.state == State::InKey;
        if *mark == b'\\' {
            self.state = State::Escaped(if is_key { Within::Key } else { Within::Text });
        } else if is_key {
            self.end_key();
        } else {
            self.end_text();
        }
        after
    }

    fn append(&mut self, part: &[u8]) {
        let room = self.word.get_mut(self.word_bytes..).unwrap_or_default();
        room.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
        self.word_bytes = self.word_bytes.saturating_add(part.len());
    }

    fn end_key(&mut self) {
        let key = self.word.get(..self.word_bytes);
        let parent = self.top().node;
        self.next = parent.zip(key).and_then(|(parent, key)| parent.child(key));
        let is_common = key.is_some_and(|key| COMMON_KEYS.contains(&key));
        let shape = match self.next {
            Some(_) if self.depth == 1 && is_common => Shape::Common,
            Some(_) => Shape::Known,
            None => Shape::Unknown,
        };
        self.finds.shape = self.finds.shape.max(shape);
        self.state = State::Colon;
    }

    fn end_text(&mut self) {
        let Self { word, word_bytes: bytes, .. } = *self;
        let start = word.get(..bytes.min(WORD_MAX)).unwrap_or_default();
        self.tell(Scalar::Text { bytes, start });
        self.state = State::Behind;
    }

    fn escape(&mut self, within: Within, byte: u8) {
        self.state = match within {
            Within::Key => State::InKey,
            Within::Text => State::InText,
            Within::Passed => State::PassText,
            Within::Inner => State::PassInner,
        };
        if matches!(within, Within::Key | Within::Text) {
            self.append(&[b'\\', byte]);
        }
    }

    /// Passes over a string. Returns what is behind the part that was passed over.
    fn pass_text<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some(end) = lanes::quote(bytes) else { return &[] };
        let (_, rest) = bytes.split_at(end);
        let Some((mark, after)) = rest.split_first() else { return rest };
        let is_inner = self.state == State::PassInner;
        self.state = match (*mark, is_inner) {
            (b'\\', false) => State::Escaped(Within::Passed),
            (b'\\', true) => State::Escaped(Within::Inner),
            (_, false) => State::Behind,
            (_, true) => State::Pass,
        };
        after
    }

    /// Passes over an object or array. Returns what is behind the part that was passed over.
    fn pass<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some(at) = lanes::structure(bytes) else { return &[] };
        let (_, rest) = bytes.split_at(at);
        let Some((mark, after)) = rest.split_first() else { return rest };
        match mark {
            b'"' => self.state = State::PassInner,
            b'{' | b'[' => self.passed = self.passed.saturating_add(1),
            _ => {
                self.passed = self.passed.saturating_sub(1);
                if self.passed == 0 {
                    self.state = State::Behind;
                }
            }
        }
        after
    }
}

const fn is_in_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}
