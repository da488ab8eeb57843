//! An operator's debug header: opened on a request's way in, and never passed on.
//!
//! Its keys are in shared data, as the VM that reads requests has no secret. Of two secrets, each has a key: while one
//! takes the place of the other, headers of both hold.

use wire::{
    debug::{self, DebugKey, DebugWish, KEY_BYTES},
    push::{SECRETS_MAX, Secret, Secrets},
};

use crate::host::{self, Headers};

/// Key of the keys in shared data, one behind the other.
const KEY: &str = "llm-picker/v1/debug-keys";

/// Shares the keys that follow from these secrets.
pub(crate) fn share(secrets: &Secrets) {
    let secrets = (0..SECRETS_MAX).filter_map(|place| secrets.get(place));
    let keys: Vec<u8> = secrets.flat_map(Secret::debug_key).collect();
    if host::shared(KEY).value != keys {
        host::share(KEY, &keys);
    }
}

/// Takes the debug header off a request. Returns the wish in it, if a key of the gateway has signed that and it has not
/// expired. While Envoy still holds the headers only.
pub(crate) fn take(headers: &mut Headers) -> Option<DebugWish> {
    let header = headers.last(debug::HEADER)?.to_vec();
    headers.strip([debug::HEADER]);
    let now = host::wall_clock().as_secs();
    let keys = host::shared(KEY).value;
    let mut keys = keys.chunks_exact(KEY_BYTES).filter_map(DebugKey::new);
    keys.find_map(|key| key.open(&header, now))
}
