//! A pool's snapshot on the wire: scraper to gateway, and gateway to its workers.
//!
//! A magic, a version, then postcard. An unknown version is refused and not guessed at: scraper and
//! filter are upgraded apart, and a pool without a snapshot is better than a wrong one.

mod layout;
mod rewrite;

use picker_core::Snapshot;

use crate::{
    frame::{Frame, FrameError},
    metrics::ADAPTER_NAME_MAX,
};
use layout::Pool;

/// Endpoints in a pool. A worker copies one snapshot per change: 4,096 endpoints with some labels
/// stay within a megabyte.
pub const ENDPOINTS_MAX: usize = 4096;
/// Bytes of a pool's name.
pub const POOL_NAME_MAX: usize = 63;
/// Milliseconds without a snapshot that one may announce: a dead scraper is noticed that much
/// later.
pub const QUIET_MS_MAX: u16 = 1_000;
/// Labels of an endpoint. Kubernetes sets no limit; a pod of a large chart has some twenty.
pub const LABELS_MAX: usize = 64;
/// Bytes of a label's key in Kubernetes: a DNS name, a slash and 63 more.
pub const LABEL_KEY_MAX: usize = 253 + 1 + 63;
/// Bytes of a label's value in Kubernetes.
pub const LABEL_VALUE_MAX: usize = 63;

/// Bytes of a model's or an adapter's name.
pub const MODEL_NAME_MAX: usize = ADAPTER_NAME_MAX;

/// Bytes of a Kubernetes object's name.
pub const OBJECT_NAME_MAX: usize = 253;

/// Mark and version: 2 since there are objectives, 3 since there are model rewrites and models, 4
/// since a scraper may be quiet, 5 since endpoints have lives, 6 since there are bytes per token, 7 since models
/// have members.
pub(crate) const FRAME: Frame = Frame { magic: *b"LPS", version: 7 };

/// True if an objective or a rewrite may have this name: a DNS subdomain, as Kubernetes has it for
/// object names.
#[must_use]
pub fn is_object_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let part = |part: &str| {
        part.bytes().all(inner) && !part.is_empty() && part.trim_matches('-').len() == part.len()
    };
    name.len() <= OBJECT_NAME_MAX && name.split('.').all(part)
}

/// True if a custom metric may have this key.
#[must_use]
pub fn is_attribute_key(key: &str) -> bool {
    (1..=LABEL_VALUE_MAX).contains(&key.len())
}

/// Returns the bytes of a snapshot.
///
/// # Errors
/// For a part that is larger than [`decode`] takes.
pub fn encode(snapshot: &Snapshot) -> Result<Vec<u8>, FrameError> {
    FRAME.encode(&Pool::from_snapshot(snapshot)?)
}

/// Reads a snapshot.
///
/// # Errors
/// For another magic or version, and for a body that is cut off, too long or out of bounds.
pub fn decode(bytes: &[u8]) -> Result<Snapshot, FrameError> {
    FRAME.decode::<Pool<'_>>(bytes)?.try_into()
}
