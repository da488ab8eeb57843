//! What all streams of one plugin instance share.

use wire::config::PickerConfig;

use crate::{pool::Pools, stats::Stats};

/// One plugin instance that picks, in one VM.
pub(crate) struct PluginInstance {
    /// What the operator configured, but for the pools.
    pub(crate) config: Box<PickerConfig>,
    /// What it counts.
    pub(crate) stats: Stats,
    /// Its pools.
    pub(crate) pools: Pools,
}
