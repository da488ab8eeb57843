//! The inside of a JSON string: where it ends, and what it spells.

use std::borrow::Cow;

use super::BodyError;

/// Bytes checked at once: four vectors of wasm's simd128.
const BLOCK: usize = 64;
/// Bytes checked at once near a stop, so that few are walked one by one: one vector.
const LANE: usize = 16;

/// Where the string that starts at `start`, behind its opening quote, has its closing quote.
///
/// Keys end within the first walk. In what is longer the cheapest way to skip that gets on is taken.
/// Between these steps `at` is never behind a backslash, so that none has to know whether an escape
/// is under way.
pub(super) fn end(bytes: &[u8], start: usize) -> Result<usize, BodyError> {
    let mut at = start;
    loop {
        at = match walk(bytes, at)? {
            Walk::Closed(quote) => return Ok(quote),
            Walk::Passed(next) => skip::<BLOCK>(bytes, next),
        };
        while let Some(next) = skip_deep(bytes, at) {
            at = skip::<BLOCK>(bytes, next);
        }
        at = skip::<LANE>(bytes, at);
    }
}

/// Skips whole blocks of `N` bytes of text with the escapes that prompts are full of.
#[inline]
fn skip<const N: usize>(bytes: &[u8], mut at: usize) -> usize {
    // One byte more in front: whether it is a backslash decides what the first byte means.
    while let Some(window) = at.checked_sub(1).and_then(|before| bytes.get(before..at + N))
        && let (Some(before), Some(block)) = (window.first_chunk::<N>(), window.last_chunk::<N>())
        && !stops(before, block)
    {
        at += N;
    }
    unescaped(bytes, at)
}

/// Skips one block of text with any escapes but `\u`: JSON within a string, as tool calls carry it.
#[inline]
fn skip_deep(bytes: &[u8], at: usize) -> Option<usize> {
    let window = bytes.get(at.checked_sub(3)?..at + BLOCK)?;
    let befores = [
        window.get(2..)?.first_chunk::<BLOCK>()?,
        window.get(1..)?.first_chunk::<BLOCK>()?,
        window.first_chunk::<BLOCK>()?,
    ];
    (!stops_deep(befores, window.last_chunk()?)).then(|| unescaped(bytes, at + BLOCK))
}

/// `at`, or the start of the backslashes right before it.
fn unescaped(bytes: &[u8], mut at: usize) -> usize {
    while let Some(before) = at.checked_sub(1)
        && bytes.get(before) == Some(&b'\\')
    {
        at = before;
    }
    at
}

/// Whether `block` has anything but text and the escapes `\n`, `\t` and `\"`: the closing quote,
/// another escape or a control character. `before` is the same text one byte earlier.
///
/// Plain loops over arrays, which LLVM turns into vectors for simd128 as for SSE2. There is no
/// branch for each escape: real prompts have one every 70 bytes, which no predictor learns.
#[inline]
fn stops<const N: usize>(before: &[u8; N], block: &[u8; N]) -> bool {
    let mut stop = 0;
    for (before, byte) in before.iter().zip(block) {
        let escaped = *before == b'\\';
        let quote = *byte == b'"';
        let letter = (*byte == b'n') | (*byte == b't');
        // A quote must be escaped, and what is escaped must be a quote or such a letter. The
        // second of two backslashes is neither, so a run of them stops as well.
        let odd = (quote | (letter & escaped)) ^ escaped;
        stop |= u8::from(odd | (*byte < b' '));
    }
    stop != 0
}

/// The same for all escapes of two bytes, in runs of at most three backslashes (`\\\"`). `befores`
/// is the text one, two and three bytes earlier.
#[inline]
fn stops_deep(befores: [&[u8; BLOCK]; 3], block: &[u8; BLOCK]) -> bool {
    let [first, second, third] = befores;
    let mut stop = 0;
    for (((byte, first), second), third) in block.iter().zip(first).zip(second).zip(third) {
        let (first, second, third) = (*first == b'\\', *second == b'\\', *third == b'\\');
        let (quote, backslash) = (*byte == b'"', *byte == b'\\');
        // An odd number of backslashes escapes what follows, an even number only itself.
        let escaped = first & (!second | third);
        let letter = (*byte == b'n') | (*byte == b't') | (*byte == b'r') | (*byte == b'/');
        let rare = (*byte == b'b') | (*byte == b'f');
        let bad_escape = escaped & !(quote | backslash | letter | rare);
        let long_run = backslash & first & second & third;
        stop |= u8::from((quote & !escaped) | bad_escape | long_run | (*byte < b' '));
    }
    stop != 0
}

/// How a walk byte by byte ended.
enum Walk {
    /// At the closing quote.
    Closed(usize),
    /// Past what blocks stopped at; they may go on from here.
    Passed(usize),
}

/// Walks on byte by byte: to the closing quote, or over the lane that had something to stop at and
/// any escapes that follow at once, as in text that is all `\u` escapes.
fn walk(bytes: &[u8], start: usize) -> Result<Walk, BodyError> {
    let mut at = start;
    loop {
        match bytes.get(at) {
            Some(b'"') => return Ok(Walk::Closed(at)),
            Some(b'\\') => at = escape(bytes, at)?,
            Some(b' '..) if at >= start + LANE && bytes.get(at - 1) != Some(&b'\\') => {
                return Ok(Walk::Passed(at));
            }
            Some(b' '..) => at += 1,
            Some(_) => return Err(malformed(bytes, "an escape for a control character", at)),
            None => return Err(malformed(bytes, "'\"' to end the string", at)),
        }
    }
}

/// Where the escape that starts at `at` ends.
#[inline]
fn escape(bytes: &[u8], at: usize) -> Result<usize, BodyError> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => match bytes.get(at + 2..at + 6).and_then(hex4) {
            Some(_) => Ok(at + 6),
            None => Err(malformed(bytes, "four hexadecimal digits after \\u", at + 2)),
        },
        _ => Err(malformed(bytes, "one of \"\\/bfnrtu after a backslash", at + 1)),
    }
}

#[cold]
fn malformed(bytes: &[u8], expected: &'static str, at: usize) -> BodyError {
    BodyError::Malformed { expected, found: bytes.get(at).copied(), at }
}

/// The number that four hexadecimal digits spell.
fn hex4(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| Some(number * 16 + char::from(*digit).to_digit(16)?))
}

/// What the inside of a string that was read spells. A surrogate without its other half reads as
/// U+FFFD, as in Go.
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

/// The character whose `\u` escape goes on with `digits`, and what follows it.
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
