//! The gateway's own name: a random number that all its workers share, and another after each start.

use crate::host;

/// Key of the gateway's id in shared data. It belongs to no pool.
const KEY: &str = "llm-picker-gateway/v1";

/// Draws the id, unless there is one. From `on_configure`, which runs on Envoy's main thread before any
/// worker has a VM.
pub(crate) fn draw_id() {
    if id() == 0 {
        host::share(KEY, &(host::random() | 1).to_le_bytes());
    }
}

/// Returns the id; 0 before it was drawn.
pub(crate) fn id() -> u64 {
    host::shared(KEY).value.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Returns the name of this start of the gateway in the stamps of its reports: 24 bits of the id, and never 0.
pub(crate) fn start() -> u32 {
    u32::try_from(id() & 0xff_ffff).unwrap_or_default() | 1
}
