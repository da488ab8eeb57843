//! A configuration that was read and whose secrets are there: all that can be wrong with it has been
//! looked at before anything is changed.

use std::rc::Rc;

use wire::config::{Mode, PickerConfig, PluginConfig, PoolConfig};

use crate::{receiver::Receiver, source::Source};

/// A configuration that can be applied.
pub(crate) enum CheckedConfig {
    Picker(CheckedPicker),
    Ingest(Receiver),
}

/// A picker's configuration that can be applied.
pub(crate) struct CheckedPicker {
    /// The operator's configuration, but for the pools.
    pub(crate) config: Box<PickerConfig>,
    /// The pools, in the order in which they are tried.
    pub(crate) pools: Vec<CheckedPool>,
}

/// A pool's configuration that can be applied.
pub(crate) struct CheckedPool {
    pub(crate) config: Rc<PoolConfig>,
    /// The source of its snapshots; `None` where they are pushed.
    pub(crate) source: Option<Rc<Source>>,
}

impl CheckedConfig {
    /// Reads a configuration, and the secrets that it names.
    ///
    /// # Errors
    /// All its faults, at least one, each in words.
    pub(crate) fn read(json: &[u8]) -> Result<Self, Vec<String>> {
        let config = wire::config::parse(json).map_err(|refused| {
            refused.faults().iter().map(ToString::to_string).collect::<Vec<_>>()
        })?;
        match config {
            PluginConfig::Picker(config) => CheckedPicker::new(config).map(Self::Picker),
            PluginConfig::Ingest(config) => Receiver::new("ingest", &config).map(Self::Ingest),
        }
    }

    /// Says in the log what is configured.
    pub(crate) fn announce(&self, plugin: &str) {
        let version = env!("CARGO_PKG_VERSION");
        match self {
            Self::Picker(CheckedPicker { config, pools }) => {
                let names: Vec<&str> = pools.iter().map(|it| it.config.name.as_str()).collect();
                let does = match config.mode {
                    Mode::Steer => "steers",
                    Mode::Observe => "looks on",
                };
                let (way, names) = (config.envoy.way, names.join(", "));
                log::info!(
                    "llm-picker {version}, plugin {plugin:?}: {does}; {way}; pools: {names}"
                );
            }
            Self::Ingest(_) => {
                log::info!("llm-picker {version}, plugin {plugin:?}: takes pushed snapshots");
            }
        }
    }
}

impl CheckedPicker {
    fn new(mut config: Box<PickerConfig>) -> Result<Self, Vec<String>> {
        let check = |config: PoolConfig| -> Result<CheckedPool, Vec<String>> {
            let source = Source::configure(config.pull.as_ref())?;
            Ok(CheckedPool { config: Rc::new(config), source })
        };
        let pools = std::mem::take(&mut config.pools).into_iter().map(check);
        // All pools are fetched in the same way, so one of them tells of all.
        Ok(Self { pools: pools.collect::<Result<_, _>>()?, config })
    }
}
