//! The headers of a push.

use super::{Refused, SEQUENCE_HEADER, SIGNATURE_HEADER, Stamp, TIME_HEADER};

/// Headers of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Time of the push.
    pub stamp: Stamp,
    /// Signature that the push claims, not checked yet.
    pub signature: [u8; 32],
}

impl Headers {
    /// Reads the three headers.
    ///
    /// # Errors
    /// For a header that is missing or makes no sense.
    pub fn parse(
        time: Option<&[u8]>,
        sequence: Option<&[u8]>,
        signature: Option<&[u8]>,
    ) -> Result<Self, Refused> {
        let time_ms = number(TIME_HEADER, time)?;
        let sequence = number(SEQUENCE_HEADER, sequence)?;
        let text = signature.ok_or(Refused::MissingHeader { name: SIGNATURE_HEADER })?;
        let signature = digest(text).ok_or_else(|| {
            malformed(SIGNATURE_HEADER, text, "64 hexadecimal digits in lower case")
        })?;
        Ok(Self { stamp: Stamp { time_ms, sequence }, signature })
    }
}

/// Reads the value of a header that is a number.
pub(crate) fn number(name: &'static str, value: Option<&[u8]>) -> Result<u64, Refused> {
    let text = value.ok_or(Refused::MissingHeader { name })?;
    // Without a sign, which `parse` would take.
    let digits = str::from_utf8(text).ok().filter(|_| text.iter().all(u8::is_ascii_digit));
    digits
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| malformed(name, text, "a decimal number below 2^64"))
}

/// Reads a signature.
pub(crate) fn digest(text: &[u8]) -> Option<[u8; 32]> {
    let (pairs, []) = text.as_chunks::<2>() else { return None };
    let mut digest = [0; 32];
    if pairs.len() != digest.len() {
        return None;
    }
    for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(digest)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

fn malformed(name: &'static str, text: &[u8], allowed: &'static str) -> Refused {
    let found = String::from_utf8_lossy(text).chars().take(80).collect();
    Refused::Header { name, found, allowed }
}
