//! A place in a JSON document, moved forward one value at a time.

use std::borrow::Cow;

use super::{
    BodyError, number,
    text::{self, Spelled},
};

/// Depth to which values may nest: as far as Python's parser goes with its limit of 1,000 calls, so that
/// what an engine takes is taken. What is stepped over takes no stack, which would kill the VM with
/// every request in it where it overflows.
const DEPTH_MAX: u32 = 1_000;

/// Mark in front of UTF-8, as some editors write it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Place in a JSON document. Every method that reads starts at the next value or mark, over
/// whitespace.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: u32,
}

/// The objects and arrays that are open, one bit each: set for an object.
#[derive(Default)]
struct Levels {
    bits: [u64; DEPTH_MAX.div_ceil(u64::BITS) as usize],
    depth: usize,
}

/// Continuation behind a value.
#[derive(PartialEq, Eq)]
enum Behind {
    Value,
    /// Nothing more of what was to be stepped over.
    All,
}

impl Levels {
    const BITS: usize = u64::BITS as usize;

    fn push(&mut self, is_object: bool) {
        if let Some(word) = self.bits.get_mut(self.depth / Self::BITS) {
            let bit = 1 << (self.depth % Self::BITS);
            *word = if is_object { *word | bit } else { *word & !bit };
        }
        self.depth += 1;
    }

    fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// Returns whether the innermost one is an object; `None` where all have ended.
    fn last(&self) -> Option<bool> {
        let depth = self.depth.checked_sub(1)?;
        let word = self.bits.get(depth / Self::BITS)?;
        Some(word >> (depth % Self::BITS) & 1 == 1)
    }
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let at = if bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        Self { bytes, at, depth: 0 }
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

    /// Reads an object; `each` is called behind every key, as it spells, and must read exactly the value.
    pub(super) fn object(
        &mut self,
        mut each: impl FnMut(&mut Self, &[u8]) -> Result<(), BodyError>,
    ) -> Result<(), BodyError> {
        self.open(b'{')?;
        if self.peek() == Some(b'}') {
            return self.end_of();
        }
        loop {
            let key = self.key()?;
            each(self, &key)?;
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

    /// Reads a string: the bytes between its quotes, escapes as written. What they spell is not checked: the
    /// engine refuses those that mean nothing.
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

    /// Reads a string by what it spells, as a key: no two parsers may read another word in it.
    #[inline]
    pub(super) fn spelled(&mut self) -> Result<Cow<'a, [u8]>, BodyError> {
        if !self.take(b'"') {
            return Err(self.unexpected("looking for beginning of value"));
        }
        let Spelled { text, end } = Spelled::read(self.bytes, self.at)?;
        self.at = end + 1;
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
            Some(b'{' | b'[') => self.nested()?,
            first => self.scalar(first)?,
        }
        Ok(self.bytes.get(start..self.at).unwrap_or_default())
    }

    /// Reads a value that holds no others, which begins with `first`. The numbers that are none are those
    /// of Python's parser, and of JavaScript.
    fn scalar(&mut self, first: Option<u8>) -> Result<(), BodyError> {
        match first {
            Some(b'"') => self.text().map(drop),
            Some(b'-') if self.bytes.get(self.at + 1) == Some(&b'I') => self.literal(b"-Infinity"),
            Some(b'-' | b'0'..=b'9') => {
                self.at = number::end(self.bytes, self.at)?;
                Ok(())
            }
            Some(b't') => self.literal(b"true"),
            Some(b'f') => self.literal(b"false"),
            Some(b'n') => self.literal(b"null"),
            Some(b'N') => self.literal(b"NaN"),
            Some(b'I') => self.literal(b"Infinity"),
            _ => Err(self.unexpected("looking for beginning of value")),
        }
    }

    /// Steps over an object or an array, which comes next, with all that is in it.
    fn nested(&mut self) -> Result<(), BodyError> {
        let mut levels = Levels::default();
        loop {
            let first = self.peek();
            let is_object = first == Some(b'{');
            if is_object || first == Some(b'[') {
                self.open(if is_object { b'{' } else { b'[' })?;
                levels.push(is_object);
                if self.peek() != Some(if is_object { b'}' } else { b']' }) {
                    if is_object {
                        self.key()?;
                    }
                    continue;
                }
            } else {
                self.scalar(first)?;
            }
            if self.behind_a_value(&mut levels)? == Behind::All {
                return Ok(());
            }
        }
    }

    /// Steps over what stands behind a value: the ends of what it was in, up to the next value.
    fn behind_a_value(&mut self, levels: &mut Levels) -> Result<Behind, BodyError> {
        // An empty object or array has its end here too.
        while let Some(is_object) = levels.last() {
            match self.peek() {
                Some(b'}') if is_object => self.end_of()?,
                Some(b']') if !is_object => self.end_of()?,
                Some(b',') => {
                    self.at += 1;
                    if is_object {
                        self.key()?;
                    }
                    return Ok(Behind::Value);
                }
                _ if is_object => return Err(self.unexpected("after object key:value pair")),
                _ => return Err(self.unexpected("after array element")),
            }
            levels.pop();
        }
        Ok(Behind::All)
    }

    /// Reads a key and the colon behind it.
    #[inline]
    fn key(&mut self) -> Result<Cow<'a, [u8]>, BodyError> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("looking for beginning of object key string"));
        }
        let key = self.spelled()?;
        if !self.take(b':') {
            return Err(self.unexpected("after object key"));
        }
        Ok(key)
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
