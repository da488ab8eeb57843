//! The plugin itself, for clusters that can't fetch it from a registry.

use std::{fmt::Write as _, fs, path::Path};

use axum::{
    extract::State,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH},
    },
    response::{IntoResponse, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use sha2::{Digest, Sha256};

/// As much as Istio takes of a plugin by default (`ISTIO_WASM_MAX_BINARY_SIZE_BYTES`).
const PLUGIN_BYTES_MAX: u64 = 256 << 20;

/// Every WebAssembly module begins so.
const MAGIC: &[u8] = b"\0asm";

const NONE: &str = "this scraper serves no plugin: start it with --plugin FILE\n";

/// A WebAssembly module, and what it is told apart by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugin {
    bytes: Bytes,
    /// Of its bytes.
    digest: [u8; 32],
}

impl Plugin {
    /// Reads it.
    ///
    /// # Errors
    /// If the file can't be read or is no WebAssembly module.
    pub fn load(path: &Path) -> Result<Self, String> {
        let fail = |why: String| format!("the plugin {}: {why}", path.display());
        let size = fs::metadata(path).map_err(|why| fail(why.to_string()))?.len();
        if size > PLUGIN_BYTES_MAX {
            return Err(fail(format!("found {size} bytes; allowed: {PLUGIN_BYTES_MAX}")));
        }
        Self::new(fs::read(path).map_err(|why| fail(why.to_string()))?)
            .ok_or_else(|| fail("this is no WebAssembly module".to_owned()))
    }

    fn new(bytes: Vec<u8>) -> Option<Self> {
        let digest = Sha256::digest(&bytes).into();
        bytes.starts_with(MAGIC).then(|| Self { bytes: bytes.into(), digest })
    }

    /// Its SHA-256 in hexadecimal, as a WasmPlugin wants it.
    #[must_use]
    pub fn sha256(&self) -> String {
        self.digest.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    fn headers(&self) -> HeaderMap {
        let digest = BASE64_STANDARD.encode(self.digest);
        let headers = [
            (CONTENT_TYPE, "application/wasm".to_owned()),
            (ETAG, format!("\"{}\"", self.sha256())),
            // RFC 9530.
            (HeaderName::from_static("repr-digest"), format!("sha-256=:{digest}:")),
            (HeaderName::from_static("x-sha256"), self.sha256()),
        ];
        let value = |(name, value)| Some((name, HeaderValue::try_from(value).ok()?));
        headers.into_iter().filter_map(value).collect()
    }
}

/// `/plugin.wasm`.
pub(crate) async fn module(State(plugin): State<Option<Plugin>>, asked: HeaderMap) -> Response {
    let Some(plugin) = plugin else { return (StatusCode::NOT_FOUND, NONE).into_response() };
    let headers = plugin.headers();
    if asked.get(IF_NONE_MATCH).is_some_and(|tag| headers.get(ETAG) == Some(tag)) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, plugin.bytes).into_response()
}

/// `/plugin.wasm.sha256`, as sha256sum writes it.
pub(crate) async fn checksum(State(plugin): State<Option<Plugin>>) -> Response {
    match plugin {
        Some(plugin) => format!("{}  plugin.wasm\n", plugin.sha256()).into_response(),
        None => (StatusCode::NOT_FOUND, NONE).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_by_the_digest_of_its_bytes() {
        let plugin = Plugin::new(b"\0asm\x01\0\0\0".to_vec()).unwrap();
        insta::assert_snapshot!(format!("{:?}", plugin.headers()), @r#"{"content-type": "application/wasm", "etag": "\"93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476\"", "repr-digest": "sha-256=:k6RLu5bHUSGOTADUeeTBQ1gSKjiazKFiBbHk0NxflHY=:", "x-sha256": "93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476"}"#);
        assert_eq!(Plugin::new(b"<html>".to_vec()), None);
        let why = Plugin::load(Path::new("/nonexistent")).unwrap_err();
        assert_eq!(why, "the plugin /nonexistent: No such file or directory (os error 2)");
    }
}
