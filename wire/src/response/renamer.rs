//! The renamer of a response's model: it puts the name that the client asked for in the place of
//! whatever name the engine answers with.
//!
//! An engine with several names for a model answers with the first, so its name cannot be known
//! beforehand. What counts is where a name stands: in a document's own `model`, or in that of the
//! `response` or `message` within it. A member of the same name anywhere else is data of the client's
//! or the model's, such as arguments of a tool. No byte is held back: a chunk may end anywhere.

use super::Kind;

/// Members of an answer that name its model: OpenAI's, Triton's, Gemini's.
const NAMES: [&[u8]; 3] = [b"model", b"model_name", b"modelVersion"];

/// Members that hold an answer within an event: of the Responses API, and of Anthropic's.
const ENVELOPES: [&[u8]; 2] = [b"response", b"message"];

/// Bytes of the longest of these keys.
const KEY_MAX: usize = 12;

/// Renamer of a response's model.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "the form, and one fact of each of two levels")]
pub struct Renamer {
    /// Name to be put there, as a JSON string.
    put: Vec<u8>,
    /// True if every line is a document, or ends one that was not whole.
    by_lines: bool,
    /// Objects and arrays that are open.
    depth: u32,
    /// True if the outermost is an object.
    in_object: bool,
    /// True if the second is an object that holds an answer.
    in_envelope: bool,
    place: Position,
    key: Key,
}

/// Position within a document, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// Where a key may come next, in an object that may name the model.
    BeforeKey,
    /// Within a key.
    InKey,
    /// Behind a key, before its value.
    BehindKey(MemberKind),
    /// Within a string; true behind a backslash.
    InString(bool),
    /// Within the name that is left out; true behind a backslash.
    InName(bool),
    /// Anywhere else.
    Elsewhere,
}

/// MemberKind of a member, by its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MemberKind {
    Name,
    Envelope,
    Other,
}

/// A value with others in it, as it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opened {
    /// An object that may hold an answer.
    Envelope,
    Object,
    Array,
}

/// Beginning of a key.
#[derive(Clone, Copy, Debug, Default)]
struct Key {
    bytes: [u8; KEY_MAX],
    /// Bytes that came, kept or not.
    len: usize,
}

impl Key {
    fn push(&mut self, byte: u8) {
        if let Some(room) = self.bytes.get_mut(self.len) {
            *room = byte;
        }
        self.len = self.len.saturating_add(1);
    }

    fn kind(&self) -> MemberKind {
        let Some(key) = self.bytes.get(..self.len) else { return MemberKind::Other };
        if NAMES.contains(&key) {
            MemberKind::Name
        } else if ENVELOPES.contains(&key) {
            MemberKind::Envelope
        } else {
            MemberKind::Other
        }
    }
}

impl Renamer {
    /// Returns a renamer to `name` of a response of that form.
    #[must_use]
    pub fn new(kind: Kind, name: &str) -> Self {
        Self {
            // Text always serialises.
            put: serde_json::to_vec(name).unwrap_or_default(),
            by_lines: kind.has_events(),
            depth: 0,
            in_object: false,
            in_envelope: false,
            place: Position::Elsewhere,
            key: Key::default(),
        }
    }

    /// Returns the chunk with names changed; `None` where it passes as it is.
    pub fn push(&mut self, chunk: &[u8]) -> Option<Vec<u8>> {
        let mut changed: Option<Vec<u8>> = None;
        // Number of the chunk's bytes that are in `changed`, or left out.
        let mut taken = 0;
        let mut at = 0;
        while let Some(byte) = chunk.get(at) {
            let rest = chunk.get(at..).unwrap_or_default();
            match self.place {
                Position::InString(false) => {
                    at += self.string(rest);
                    continue;
                }
                // A line that ends within a name ends the name, and stays.
                Position::InName(_) if self.by_lines && matches!(*byte, b'\n' | b'\r') => {
                    self.end_line();
                }
                Position::InName(false) if *byte == b'"' => {
                    self.place = Position::Elsewhere;
                    taken = at + 1;
                }
                Position::InName(escaped) => {
                    self.place = Position::InName(!escaped && *byte == b'\\');
                    taken = at + 1;
                }
                Position::BehindKey(MemberKind::Name) if *byte == b'"' => {
                    let out = changed.get_or_insert_default();
                    out.extend_from_slice(chunk.get(taken..at).unwrap_or_default());
                    out.extend_from_slice(&self.put);
                    self.place = Position::InName(false);
                    taken = at + 1;
                }
                Position::BeforeKey
                | Position::InKey
                | Position::BehindKey(_)
                | Position::InString(true)
                | Position::Elsewhere => self.step(*byte),
            }
            at += 1;
        }
        if taken > 0 {
            let out = changed.get_or_insert_default();
            out.extend_from_slice(chunk.get(taken..).unwrap_or_default());
        }
        changed
    }

    /// Steps over the inside of a string, up to its end or the next escape. Returns the bytes of it.
    fn string(&mut self, rest: &[u8]) -> usize {
        let Some(found) = memchr::memchr3(b'"', b'\\', b'\n', rest) else { return rest.len() };
        match rest.get(found) {
            Some(b'\\') => self.place = Position::InString(true),
            Some(b'\n') if self.by_lines => self.end_line(),
            Some(b'\n') => {}
            _ => self.place = Position::Elsewhere,
        }
        found + 1
    }

    /// Takes in a byte of anything but a string that is stepped over.
    fn step(&mut self, byte: u8) {
        if self.by_lines && matches!(byte, b'\n' | b'\r') {
            self.end_line();
            return;
        }
        match (self.place, byte) {
            (Position::InString(_), _) => self.place = Position::InString(false),
            (Position::InKey, b'"') => self.place = Position::BehindKey(self.key.kind()),
            // No key that means something has an escape.
            (Position::InKey, b'\\') => self.place = Position::InString(true),
            (Position::InKey, byte) => self.key.push(byte),
            (Position::BeforeKey, b'"') => {
                self.key = Key::default();
                self.place = Position::InKey;
            }
            (_, b'"') => self.place = Position::InString(false),
            (Position::BehindKey(MemberKind::Envelope), b'{') => self.open(Opened::Envelope),
            (_, b'{') => self.open(Opened::Object),
            (_, b'[') => self.open(Opened::Array),
            (_, b'}' | b']') => {
                self.depth = self.depth.saturating_sub(1);
                self.place = Position::Elsewhere;
            }
            (_, b',') if self.is_in_answer() => self.place = Position::BeforeKey,
            (Position::BehindKey(_), b':' | b' ' | b'\t' | b'\r' | b'\n') => {}
            (Position::BeforeKey, b' ' | b'\t' | b'\r' | b'\n') => {}
            _ => self.place = Position::Elsewhere,
        }
    }

    fn open(&mut self, opened: Opened) {
        let is_object = opened != Opened::Array;
        match self.depth {
            0 => self.in_object = is_object,
            1 => self.in_envelope = self.in_object && opened == Opened::Envelope,
            _ => {}
        }
        self.depth = self.depth.saturating_add(1);
        let has_keys = is_object && self.is_in_answer();
        self.place = if has_keys { Position::BeforeKey } else { Position::Elsewhere };
    }

    /// True directly within an object that may name the model.
    fn is_in_answer(&self) -> bool {
        match self.depth {
            1 => self.in_object,
            2 => self.in_object && self.in_envelope,
            _ => false,
        }
    }

    /// Begins anew: no document goes on in the next line, and JSON has no break within a string.
    fn end_line(&mut self) {
        self.depth = 0;
        self.place = Position::Elsewhere;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(kind: Kind, chunks: &[&str]) -> String {
        let mut renamer = Renamer::new(kind, "gpt \"4\"");
        let mut out = String::new();
        for chunk in chunks {
            let piece = renamer.push(chunk.as_bytes());
            out.push_str(
                &piece.map_or_else(|| (*chunk).to_owned(), |it| String::from_utf8(it).unwrap()),
            );
        }
        out
    }

    /// Cuts a text wherever it may be cut, and a little behind that again.
    #[track_caller]
    fn check(kind: Kind, body: &str, expected: &str) {
        assert_eq!(renamed(kind, &[body]), expected);
        for one in (0..body.len()).filter(|at| body.is_char_boundary(*at)) {
            let end = body.len().min(one + 16);
            for two in (one..end).filter(|at| body.is_char_boundary(*at)) {
                let chunks = [&body[..one], &body[one..two], &body[two..]];
                assert_eq!(renamed(kind, &chunks), expected, "cut at {one} and {two}");
            }
        }
    }

    const NAME: &str = r#""gpt \"4\"""#;

    #[test]
    fn the_documents_own_name_is_changed_whatever_it_is() {
        let body = r#"{"id":"\"model\":\"a\"","model" :
            "l\u00e9 \"x\"\\","choices":[{"model":"a"}],"metadata":{"model":"a"},
            "n":-1.5,"\"":{},"":"x\\","message":null,"model":"b"}"#;
        let expected = body.replacen(r#""l\u00e9 \"x\"\\""#, NAME, 1).replace("\"b\"", NAME);
        check(Kind::Json, body, &expected);
        check(
            Kind::Json,
            r#"{"model":null,"models":"a","x":"model"}"#,
            r#"{"model":null,"models":"a","x":"model"}"#,
        );
        check(Kind::Json, r#"[{"model":"a"}]"#, r#"[{"model":"a"}]"#);
        check(
            Kind::Json,
            r#"{"model_name":"a","modelVersion":"b"}"#,
            &format!(r#"{{"model_name":{NAME},"modelVersion":{NAME}}}"#),
        );
    }

    #[test]
    fn an_answer_within_an_event_has_its_name_too() {
        let events = |name: &str| {
            format!(
                "event: message_start\ndata: {{\"type\":\"message_start\",\"message\":{{\"id\":\"1\",\"model\":{name},\"content\":[{{\"model\":\"a\"}}]}}}}\n\n\
             : a \"comment\ndata: {{\"response\":{{\"tools\":[{{\"model\":\"a\"}}],\"text\":{{\"model\":\"a\"}},\"model\":{name}}},\"model\":{name}}}\n\n\
             data: {{\"broken\n\ndata: {{\"model\":{name}}}\r\n\r\ndata: {{\"model\":{name}}}\r\rdata: {{\rdata: {{\"model\":{name}}}\r\rdata: [DONE]\n\n"
            )
        };
        check(Kind::Events, &events("\"a\""), &events(NAME));
        let broken = "data: {\"model\":\"x\ndata: {\"text\":\"a\"}\n\n";
        check(Kind::Events, broken, &broken.replace("\"x", NAME));
        let lines = |name: &str| {
            format!("{{\"model\":{name}}}\n{{\"item\":{{\"model\":\"a\"}},\"model\":{name}}}\n")
        };
        check(Kind::Lines, &lines("\"a\""), &lines(NAME));
    }

    #[test]
    fn a_chunk_without_a_name_is_not_even_copied() {
        let mut renamer = Renamer::new(Kind::Events, "x");
        assert_eq!(renamer.push(b"data: {\"choices\":[{\"delta\":{\"model\":\"a\"}}]}\n\n"), None);
        assert_eq!(renamer.push(b""), None);
    }
}
