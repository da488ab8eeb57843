//! What the headers of a request say of the body to come.

use wire::body::Api;

use crate::{host::Headers, identity::last};

/// The header with its length in bytes.
pub(crate) const LENGTH: &str = "content-length";

/// The API that it speaks, by the path that the request has or had before somebody rewrote it.
pub(crate) fn api(headers: &Headers) -> Option<Api> {
    let paths = [":path", "x-original-path", "x-forwarded-path"];
    paths.iter().find_map(|name| Api::of_path(last(headers, name)?))
}

/// How long it will be, so that one too long is refused before it is sent; 0 where that is not said.
/// More than a `usize` of wasm32 counts is a length all the same.
pub(crate) fn length(headers: &Headers) -> u64 {
    last(headers, LENGTH)
        .and_then(|value| std::str::from_utf8(value).ok())
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}
