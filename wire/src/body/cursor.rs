//! A place in a JSON document, moved forward one value at a time.

use super::{BodyError, number, text};

/// Depth to which values may nest. Tool schemas nest a dozen levels; each level costs two stack
/// frames, and a stack that overflows kills the VM with every request in it.
const DEPTH_MAX: u32 = 64;

/// Place in a JSON document. Every method that reads starts at the next value or mark, over
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

    /// Returns the first byte of the next value or mark, over whitespace.
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
        self.open(b'{')?;
        if self.peek() == Some(b'}') {
            return self.end_of();
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("looking for beginning of object key string"));
            }
            let key = self.text()?;
            if !self.take(b':') {
                return Err(self.unexpected("after object key"));
            }
            each(self, key)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => return self.end_of(),
                _ => return Err(self.unexpected("after object key:value pair")),
            }
        }
    }

    /// Reads an array; `each` is called before every element and must read exactly that.
    pub(super) fn array(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<(), BodyError>,
    ) -> Result<(), BodyError> {
        self.open(b'[')?;
        if self.peek() == Some(b']') {
            return self.end_of();
        }
        loop {
            each(self)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => return self.end_of(),
                _ => return Err(self.unexpected("after array element")),
            }
        }
    }

    /// Reads a string: the bytes between its quotes, escapes as written.
    pub(super) fn text(&mut self) -> Result<&'a [u8], BodyError> {
        if !self.take(b'"') {
            return Err(self.unexpected("looking for beginning of value"));
        }
        let start = self.at;
        self.at = text::end(self.bytes, start)?;
        let text = self.bytes.get(start..self.at).unwrap_or_default();
        self.at += 1;
        Ok(text)
    }

    /// Reads a string's inside, or any other value as JSON.
    pub(super) fn text_or_value(&mut self) -> Result<&'a [u8], BodyError> {
        if self.peek() == Some(b'"') { self.text() } else { self.value() }
    }

    /// Reads any value, and returns its JSON.
    pub(super) fn value(&mut self) -> Result<&'a [u8], BodyError> {
        let first = self.peek();
        let start = self.at;
        match first {
            Some(b'"') => self.text().map(drop)?,
            Some(b'{') => self.object(|cursor, _| cursor.value().map(drop))?,
            Some(b'[') => self.array(|cursor| cursor.value().map(drop))?,
            Some(b'-' | b'0'..=b'9') => self.at = number::end(self.bytes, start)?,
            Some(b't') => self.literal(b"true")?,
            Some(b'f') => self.literal(b"false")?,
            Some(b'n') => self.literal(b"null")?,
            _ => return Err(self.unexpected("looking for beginning of value")),
        }
        Ok(self.bytes.get(start..self.at).unwrap_or_default())
    }

    /// Reads with `read`, and returns the JSON that it went over.
    pub(super) fn spanned(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<(), BodyError>,
    ) -> Result<&'a [u8], BodyError> {
        self.peek();
        let start = self.at;
        read(self)?;
        Ok(self.bytes.get(start..self.at).unwrap_or_default())
    }

    /// Checks that nothing but whitespace follows.
    pub(super) fn end(mut self) -> Result<(), BodyError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("after top-level value")),
        }
    }

    fn literal(&mut self, word: &'static [u8]) -> Result<(), BodyError> {
        for byte in word {
            if self.bytes.get(self.at) != Some(byte) {
                let found = self.bytes.get(self.at).copied();
                return Err(BodyError::Literal { word, expected: *byte, found, at: self.at });
            }
            self.at += 1;
        }
        Ok(())
    }

    fn open(&mut self, mark: u8) -> Result<(), BodyError> {
        if self.peek() != Some(mark) {
            return Err(self.unexpected("looking for beginning of value"));
        }
        if self.depth == DEPTH_MAX {
            return Err(BodyError::TooDeep { at: self.at });
        }
        self.at += 1;
        self.depth += 1;
        Ok(())
    }

    /// Steps over the mark that ends an object or an array, which comes next.
    fn end_of(&mut self) -> Result<(), BodyError> {
        self.at += 1;
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

    /// Returns the index of the next value or mark, over whitespace.
    pub(super) fn place(&mut self) -> usize {
        self.peek();
        self.at
    }

    /// Returns the index behind the last value that was read.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// Returns the error that the next byte does not belong here.
    #[cold]
    fn unexpected(&self, place: &'static str) -> BodyError {
        BodyError::Malformed { place, found: self.bytes.get(self.at).copied(), at: self.at }
    }
}
