//! The path of a request, as engines understand it.

use std::{borrow::Cow, fmt::Write as _, ops::Range};

/// Returns a path without its query, a slash at its end, empty parts, dots and escapes. Frameworks
/// differ in what they clean up: a path that any of them would take for an operation is one.
pub(crate) fn plain(path: &[u8]) -> Cow<'_, [u8]> {
    let (mut end, mut last, mut is_plain) = (path.len(), 0, true);
    for (at, byte) in path.iter().enumerate() {
        match byte {
            b'?' | b'#' => {
                end = at;
                break;
            }
            b'%' => is_plain = false,
            b'/' | b'.' if last == b'/' => is_plain = false,
            _ => (),
        }
        last = *byte;
    }
    let path = path.get(..end).unwrap_or_default();
    if is_plain && last != b'/' { Cow::Borrowed(path) } else { Cow::Owned(cleaned(path)) }
}

fn cleaned(path: &[u8]) -> Vec<u8> {
    let decoded = decoded(path);
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in decoded.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let mut cleaned = Vec::with_capacity(decoded.len());
    for part in parts {
        cleaned.push(b'/');
        cleaned.extend_from_slice(part);
    }
    cleaned
}

/// Returns the bytes that percent escapes stand for; what is no escape stays.
fn decoded(path: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        let escape = match (byte, tail) {
            (b'%', [high, low, ..]) => digit(*high).zip(digit(*low)),
            _ => None,
        };
        if let Some((high, low)) = escape {
            out.push(high * 16 + low);
            rest = tail.get(2..).unwrap_or_default();
        } else {
            out.push(*byte);
        }
    }
    out
}

/// Returns a request's path with another model in its place: `plain` is the path without query and
/// escapes, `model` the place there, `sent` the path as the client wrote it.
#[must_use]
pub fn with_model(sent: &[u8], plain: &[u8], model: Range<usize>, name: &str) -> String {
    let query = sent.iter().position(|byte| *byte == b'?').and_then(|at| sent.get(at..));
    let mut path = String::with_capacity(sent.len() + name.len());
    escape(&mut path, plain.get(..model.start).unwrap_or_default());
    escape(&mut path, name.as_bytes());
    escape(&mut path, plain.get(model.end..).unwrap_or_default());
    path.push_str(&String::from_utf8_lossy(query.unwrap_or_default()));
    path
}

/// Appends bytes of a path, with escapes for all that means something else in one (RFC 3986, pchar).
fn escape(path: &mut String, bytes: &[u8]) {
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(byte) {
            path.push(char::from(*byte));
        } else {
            let _ = write!(path, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_spelling() {
        for (sent, expected) in [
            ("/v1/chat/completions", "/v1/chat/completions"),
            ("/v1/chat/completions?x=/y", "/v1/chat/completions"),
            ("/v1/chat/completions/", "/v1/chat/completions"),
            ("//v1///chat/completions//", "/v1/chat/completions"),
            ("/v1/./chat/x/../completions", "/v1/chat/completions"),
            ("/v1/chat%2Fcompletions", "/v1/chat/completions"),
            ("/v1/%63hat/completions", "/v1/chat/completions"),
            ("/v1/%2e%2E/v1/chat%2fcompletions#x", "/v1/chat/completions"),
            ("/a%zz%4", "/a%zz%4"),
            ("/../..", ""),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(String::from_utf8_lossy(&plain(sent.as_bytes())), expected, "{sent}");
        }
    }

    #[test]
    fn another_model_is_put_into_a_path() {
        let put = |sent: &str, range, name| {
            let plain = plain(sent.as_bytes());
            with_model(sent.as_bytes(), &plain, range, name)
        };
        assert_eq!(put("/v1/models/a?x=1", 11..12, "org/b"), "/v1/models/org/b?x=1");
        assert_eq!(put("/model/a%3A0/converse", 7..10, "b c?"), "/model/b%20c%3F/converse");
        assert_eq!(put("/m/é/x", 3..5, "ü%"), "/m/%C3%BC%25/x");
    }
}
