//! The key of session tokens.
//!
//! The key is in shared data, as every worker has to open what another sealed. An instance that has the scraper's
//! secret derives it from that, so that tokens outlive a restart and open at every gateway; without a secret the
//! first instance draws one.

use wire::{push::Secret, session::SessionKey};

use crate::host;

/// Key of the session key in shared data.
const KEY: &str = "llm-picker/v1/session-key";

/// Shares the key that follows from this secret.
pub(crate) fn share(secret: &Secret) {
    let key = secret.session_key();
    if host::shared(KEY).value != key {
        host::share(KEY, &key);
    }
}

/// Draws a key, unless there is one. For `on_configure` only, which runs on Envoy's main thread before any
/// worker has a VM.
pub(crate) fn draw() {
    if shared().is_none() {
        let key: Vec<u8> = (0..4).flat_map(|_| host::random().to_le_bytes()).collect();
        host::share(KEY, &key);
    }
}

/// Returns the key of all workers.
pub(crate) fn shared() -> Option<SessionKey> {
    SessionKey::new(&host::shared(KEY).value)
}
