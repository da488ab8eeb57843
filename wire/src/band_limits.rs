//! The limits of a band of flow control, for the metric that says how full it is.

use serde::{Deserialize, Serialize};

/// Limits of one band at one gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BandLimits {
    /// Priority of the band.
    pub priority: i32,
    /// Requests that may wait.
    pub requests: u64,
    /// Bytes that may wait.
    pub bytes: u64,
}
