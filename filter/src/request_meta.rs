//! The properties of a request's body that its headers tell before it comes.

use crate::host::Headers;

/// Header with the body's length in bytes.
pub(crate) const LENGTH: &str = "content-length";

/// Reads the length of the body, so that one too long is refused before it is sent; 0 where the headers
/// do not say. Not as `usize`, which on wasm32 is too small for some lengths.
pub(crate) fn length(headers: &Headers) -> u64 {
    headers
        .last(LENGTH)
        .and_then(|value| std::str::from_utf8(value).ok())
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}
