//! The properties of a request's body that its headers tell before it comes.

use wire::body::Api;

use crate::host::Headers;

/// Header with the body's length in bytes.
pub(crate) const LENGTH: &str = "content-length";

/// Finds the API that the request speaks, by the path that it has or had before a proxy rewrote it.
pub(crate) fn api(headers: &Headers) -> Option<Api> {
    let paths = [":path", "x-original-path", "x-forwarded-path"];
    paths.iter().find_map(|name| Api::of_path(headers.last(name)?))
}

/// Reads the length of the body, so that one too long is refused before it is sent; 0 where the headers
/// do not say. Not as `usize`, which on wasm32 is too small for some lengths.
pub(crate) fn length(headers: &Headers) -> u64 {
    headers
        .last(LENGTH)
        .and_then(|value| std::str::from_utf8(value).ok())
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}
