//! `/plugin.wasm`: the plugin, for gateways that fetch it from the scraper.

use axum::{
    extract::State,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH},
    },
    response::{IntoResponse, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::settings::Plugin;

const NONE: &str = "this scraper serves no plugin: start it with --plugin FILE\n";

/// Answers `/plugin.wasm`.
pub(super) async fn module(State(plugin): State<Option<Plugin>>, asked: HeaderMap) -> Response {
    let Some(plugin) = plugin else { return (StatusCode::NOT_FOUND, NONE).into_response() };
    let headers = headers(&plugin);
    if asked.get(IF_NONE_MATCH).is_some_and(|tag| headers.get(ETAG) == Some(tag)) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, plugin.bytes()).into_response()
}

/// Answers `/plugin.wasm.sha256` in the format of sha256sum.
pub(super) async fn checksum(State(plugin): State<Option<Plugin>>) -> Response {
    match plugin {
        Some(plugin) => format!("{}  plugin.wasm\n", plugin.sha256()).into_response(),
        None => (StatusCode::NOT_FOUND, NONE).into_response(),
    }
}

fn headers(plugin: &Plugin) -> HeaderMap {
    let digest = BASE64_STANDARD.encode(plugin.digest());
    let headers = [
        (CONTENT_TYPE, "application/wasm".to_owned()),
        (ETAG, format!("\"{}\"", plugin.sha256())),
        // RFC 9530.
        (HeaderName::from_static("repr-digest"), format!("sha-256=:{digest}:")),
        (HeaderName::from_static("x-sha256"), plugin.sha256()),
    ];
    let value = |(name, value)| Some((name, HeaderValue::try_from(value).ok()?));
    headers.into_iter().filter_map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_by_the_digest_of_its_bytes() {
        let plugin = Plugin::new(b"\0asm\x01\0\0\0".to_vec()).unwrap();
        insta::assert_snapshot!(format!("{:?}", headers(&plugin)), @r#"{"content-type": "application/wasm", "etag": "\"93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476\"", "repr-digest": "sha-256=:k6RLu5bHUSGOTADUeeTBQ1gSKjiazKFiBbHk0NxflHY=:", "x-sha256": "93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476"}"#);
    }
}
