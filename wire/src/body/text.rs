//! The inside of a JSON string: its end, and the text that it spells.

mod block;

use std::borrow::Cow;

use super::BodyError;

/// Returns the index of the closing quote of the string that starts at `start`, behind its opening
/// quote. Escapes are not checked.
pub(super) fn end(bytes: &[u8], start: usize) -> Result<usize, BodyError> {
    let inside = bytes.get(start..).unwrap_or_default();
    match block::short(inside).or_else(|| block::length(inside)) {
        Some(length) => Ok(start + length),
        // What is at fault is told byte by byte: this happens once a request at most.
        None => walk(bytes, start),
    }
}

/// A string by what it spells.
pub(super) struct Spelled<'a> {
    /// The text.
    pub(super) text: Cow<'a, [u8]>,
    /// Index of its closing quote.
    pub(super) end: usize,
}

impl<'a> Spelled<'a> {
    /// Reads the string that starts at `start`, behind its opening quote. Its escapes are checked.
    #[inline]
    pub(super) fn read(bytes: &'a [u8], start: usize) -> Result<Self, BodyError> {
        match block::short(bytes.get(start..).unwrap_or_default()) {
            Some(length) => {
                let end = start + length;
                let text = bytes.get(start..end).unwrap_or_default();
                Ok(Self { text: Cow::Borrowed(text), end })
            }
            None => Self::read_long(bytes, start),
        }
    }

    fn read_long(bytes: &'a [u8], start: usize) -> Result<Self, BodyError> {
        let mut end = end(bytes, start)?;
        let mut text = bytes.get(start..end).unwrap_or_default();
        if text.contains(&b'\\') {
            end = walk(bytes, start)?;
            text = bytes.get(start..end).unwrap_or_default();
        }
        Ok(Self { text: unescape(text), end })
    }
}

/// Finds the closing quote one byte after the other, which also finds the byte that is at fault.
#[cold]
fn walk(bytes: &[u8], start: usize) -> Result<usize, BodyError> {
    let mut at = start;
    loop {
        match bytes.get(at) {
            Some(b'"') => return Ok(at),
            Some(b'\\') => at = escape(bytes, at)?,
            Some(b' '..) => at += 1,
            Some(_) => return Err(malformed(bytes, "in string literal", at)),
            None => return Err(malformed(bytes, "in string literal", at)),
        }
    }
}

/// Returns the end of the escape that starts at `at`.
fn escape(bytes: &[u8], at: usize) -> Result<usize, BodyError> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => match bytes.get(at + 2..at + 6).and_then(hex4) {
            Some(_) => Ok(at + 6),
            None => {
                Err(malformed(bytes, "in \\u hexadecimal character escape", not_hex(bytes, at + 2)))
            }
        },
        _ => Err(malformed(bytes, "in string escape code", at + 1)),
    }
}

#[cold]
fn malformed(bytes: &[u8], place: &'static str, at: usize) -> BodyError {
    BodyError::Malformed { place, found: bytes.get(at).copied(), at }
}

/// Returns the index of the first byte from `start` on that is no hexadecimal digit.
#[cold]
fn not_hex(bytes: &[u8], start: usize) -> usize {
    let digits = bytes.iter().skip(start).take_while(|byte| byte.is_ascii_hexdigit());
    start + digits.count()
}

/// Returns the number that four hexadecimal digits make.
fn hex4(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| Some(number * 16 + char::from(*digit).to_digit(16)?))
}

/// Returns the bytes that the inside of a string spells. A surrogate without its other half reads
/// as U+FFFD, as in Go.
pub(super) fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    if !raw.contains(&b'\\') {
        return Cow::Borrowed(raw);
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        let Some((mark, tail)) = rest.split_first() else { break };
        rest = tail;
        match mark {
            b'b' => out.push(0x08),
            b'f' => out.push(0x0c),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let (scalar, tail) = unicode(rest);
                rest = tail;
                out.extend_from_slice(scalar.encode_utf8(&mut [0; 4]).as_bytes());
            }
            other => out.push(*other),
        }
    }
    Cow::Owned(out)
}

/// Reads the rest of a `\u` escape: its character, and the bytes behind it.
fn unicode(digits: &[u8]) -> (char, &[u8]) {
    let Some((high, rest)) = unit(digits) else { return (char::REPLACEMENT_CHARACTER, &[]) };
    if !(0xd800..0xdc00).contains(&high) {
        return (char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), rest);
    }
    match rest.strip_prefix(b"\\u").and_then(unit) {
        Some((low @ 0xdc00..0xe000, tail)) => {
            let scalar = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            (char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER), tail)
        }
        _ => (char::REPLACEMENT_CHARACTER, rest),
    }
}

fn unit(digits: &[u8]) -> Option<(u32, &[u8])> {
    let (head, rest) = digits.split_at_checked(4)?;
    Some((hex4(head)?, rest))
}
