//! A plugin instance that picks endpoints: the state that all its streams share.

use wire::config::PickerConfig;

use crate::{counters::Counters, pools::Pools};

/// A plugin instance that picks endpoints, in one VM.
pub(crate) struct PluginInstance {
    /// Id of its root context, which has no client.
    pub(crate) context_id: u32,
    /// The operator's configuration, but for the pools.
    pub(crate) config: Box<PickerConfig>,
    pub(crate) counters: Counters,
    pub(crate) pools: Pools,
}
