//! JSON numbers.

use super::BodyError;

/// Returns the end of the number that starts at `start` (RFC 8259, section 6).
pub(super) fn end(bytes: &[u8], start: usize) -> Result<usize, BodyError> {
    let mut at = start + usize::from(bytes.get(start) == Some(&b'-'));
    match bytes.get(at) {
        // A zero stands alone: `01` is two values.
        Some(b'0') => at += 1,
        _ => at = digits(bytes, at, "in numeric literal")?,
    }
    if bytes.get(at) == Some(&b'.') {
        at = digits(bytes, at + 1, "after decimal point in numeric literal")?;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        at = digits(bytes, at, "in exponent of numeric literal")?;
    }
    Ok(at)
}

/// Returns the end of the digits at `start`; there must be one.
#[inline]
fn digits(bytes: &[u8], start: usize, place: &'static str) -> Result<usize, BodyError> {
    let mut at = start;
    while matches!(bytes.get(at), Some(b'0'..=b'9')) {
        at += 1;
    }
    if at == start {
        return Err(BodyError::Malformed { place, found: bytes.get(at).copied(), at });
    }
    Ok(at)
}
