//! A place in a JSON document, moved forward one value at a time.

use super::{BodyError, number, text};

/// How deep values may nest. Tool schemas nest a dozen levels; each level costs two stack frames,
/// and a stack that overflows kills the VM with every request in it.
const DEPTH_MAX: u32 = 64;

/// A place in a JSON document. Every method that reads starts at the next value or mark, over
/// whitespace.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: u32,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, depth: 0 }
    }

    /// The first byte of what comes next, over whitespace.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                byte => return byte.copied(),
            }
        }
    }

    /// Reads an object; `each` is called behind every key and must read exactly the value.
    pub(super) fn object(
        &mut self,
        mut each: impl FnMut(&mut Self, &'a [u8]) -> Result<(), BodyError>,
    ) -> Result<(), BodyError> {
        self.open(b'{', "an object")?;
        if self.take(b'}') {
            return self.close();
        }
        loop {
            let key = self.text("a key in quotes")?;
            if !self.take(b':') {
                return Err(self.expected("':' after a key"));
            }
            each(self, key)?;
            if self.take(b'}') {
                return self.close();
            }
            if !self.take(b',') {
                return Err(self.expected("',' or '}' after a member"));
            }
        }
    }

    /// Reads an array; `each` is called before every element and must read exactly that.
    pub(super) fn array(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<(), BodyError>,
    ) -> Result<(), BodyError> {
        self.open(b'[', "an array")?;
        if self.take(b']') {
            return self.close();
        }
        loop {
            each(self)?;
            if self.take(b']') {
                return self.close();
            }
            if !self.take(b',') {
                return Err(self.expected("',' or ']' after an element"));
            }
        }
    }

    /// Reads a string: what is between the quotes, escapes as written. `what` says in an error
    /// which string is missing.
    pub(super) fn text(&mut self, what: &'static str) -> Result<&'a [u8], BodyError> {
        if !self.take(b'"') {
            return Err(self.expected(what));
        }
        let start = self.at;
        self.at = text::end(self.bytes, start)?;
        let text = self.bytes.get(start..self.at).unwrap_or_default();
        self.at += 1;
        Ok(text)
    }

    /// Reads a string's inside, or any other value as JSON.
    pub(super) fn text_or_value(&mut self) -> Result<&'a [u8], BodyError> {
        if self.peek() == Some(b'"') { self.text("a string") } else { self.value() }
    }

    /// Reads any value: its JSON.
    pub(super) fn value(&mut self) -> Result<&'a [u8], BodyError> {
        self.spanned(|cursor| match cursor.peek() {
            Some(b'"') => cursor.text("a string").map(drop),
            Some(b'{') => cursor.object(|cursor, _| cursor.value().map(drop)),
            Some(b'[') => cursor.array(|cursor| cursor.value().map(drop)),
            Some(b'-' | b'0'..=b'9') => {
                cursor.at = number::end(cursor.bytes, cursor.at)?;
                Ok(())
            }
            Some(b't') => cursor.literal(b"true"),
            Some(b'f') => cursor.literal(b"false"),
            Some(b'n') => cursor.literal(b"null"),
            _ => Err(cursor.expected("a value")),
        })
    }

    /// Reads with `read`: the JSON that it went over.
    pub(super) fn spanned(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<(), BodyError>,
    ) -> Result<&'a [u8], BodyError> {
        self.peek();
        let start = self.at;
        read(self)?;
        Ok(self.bytes.get(start..self.at).unwrap_or_default())
    }

    /// Nothing but whitespace may follow.
    pub(super) fn end(mut self) -> Result<(), BodyError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.expected("nothing after the object")),
        }
    }

    fn literal(&mut self, word: &'static [u8]) -> Result<(), BodyError> {
        for byte in word {
            if self.bytes.get(self.at) != Some(byte) {
                return Err(self.expected("true, false or null"));
            }
            self.at += 1;
        }
        Ok(())
    }

    fn open(&mut self, mark: u8, what: &'static str) -> Result<(), BodyError> {
        if self.peek() != Some(mark) {
            return Err(self.expected(what));
        }
        if self.depth == DEPTH_MAX {
            return Err(self.expected("at most 64 levels of nesting"));
        }
        self.at += 1;
        self.depth += 1;
        Ok(())
    }

    fn close(&mut self) -> Result<(), BodyError> {
        self.depth -= 1;
        Ok(())
    }

    /// Steps over `mark` if it comes next.
    #[inline]
    fn take(&mut self, mark: u8) -> bool {
        let found = self.peek() == Some(mark);
        self.at += usize::from(found);
        found
    }

    /// The error that what comes next is not `what`.
    #[cold]
    fn expected(&self, expected: &'static str) -> BodyError {
        BodyError::Malformed { expected, found: self.bytes.get(self.at).copied(), at: self.at }
    }
}
