//! The plugin's configuration: the EPP's EndpointPickerConfig as JSON, and llm-picker's own keys
//! beside it.
//!
//! Anything that is not understood is refused, with the path, the value that was found and the
//! values that are allowed: a typing error in a weight must not become a pool that is balanced by
//! chance.

// Keys of llm-picker's own, in the order of a request's way.
mod envoy;
mod identity;
mod matching;
mod pool;
mod pull;
mod rewrites;
mod share;

// The EndpointPickerConfig.
mod epp;
mod flow;
mod plugin;
mod scheduling;

// Values and errors of both.
mod at;
mod duration;
mod error;
mod quantity;

use serde_json::Value;

pub use at::{At, Object};
pub use duration::parse as parse_duration;
pub use envoy::{Destination, EnvoyConfig, Hold, ImpossibleWay, UnknownName, Way};
pub use error::ConfigError;
pub use identity::{FairnessKey, Identity, Jwt};
pub use matching::{Destined, Match};
pub use pool::PoolConfig;
pub use pull::PullConfig;

/// Bytes of a configuration: a WasmPlugin lives in etcd, which takes objects of 1.5 MiB at most.
pub const CONFIG_BYTES_MAX: usize = 1 << 20;
/// Items in any list of a configuration: a profile has some ten plugins, a pool some ten objectives.
pub const ITEMS_MAX: usize = 256;

/// Task of one plugin instance.
#[derive(Clone, Debug, PartialEq)]
pub enum PluginConfig {
    /// Picking endpoints for requests.
    Picker(Box<PickerConfig>),
    /// Taking in snapshots.
    Ingest(IngestConfig),
}

/// Settings by which snapshots are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngestConfig {
    /// Environment variable with the secret that pushes are signed with.
    pub secret_env: String,
    /// Bytes of a push at most. By default 4 MiB, enough for 4,096 endpoints.
    pub max_bytes: u64,
}

/// Settings of an instance that picks endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct PickerConfig {
    /// Pools, at least one; a request goes to the first that it fits.
    pub pools: Vec<PoolConfig>,
    /// Headers that say which tenant a request is from.
    pub identity: Identity,
    /// Way of the choice into Envoy.
    pub envoy: EnvoyConfig,
    /// Treatment of a request for which no decision can be made.
    pub failure_mode: FailureMode,
    /// True if responses say why their endpoint was chosen.
    pub decision_header: bool,
}

/// Treatment of a request for which no decision can be made (InferencePool `failureMode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureMode {
    /// Sent to any endpoint, as Envoy balances.
    FailOpen,
    /// Answered with an error.
    FailClose,
}

/// Reads a configuration. An empty one is one pool that goes by estimated times to first tokens.
///
/// # Errors
/// For bytes that are no JSON object, and for the first thing in it that is not understood.
pub fn parse(bytes: &[u8]) -> Result<PluginConfig, ConfigError> {
    if bytes.len() > CONFIG_BYTES_MAX {
        let found = format!("of {} bytes", bytes.len());
        return Err(ConfigError::new("", "must be at most 1 MiB").having(found));
    }
    let bytes = if bytes.trim_ascii().is_empty() { b"{}" } else { bytes };
    let json: Value = serde_json::from_slice(bytes)
        .map_err(|error| ConfigError::new("", format!("must be JSON: {error}")))?;
    let root = At::root(&json);
    if json.get("ingest").is_some() {
        return receiver(&root).map(PluginConfig::Ingest);
    }
    picker(&root).map(|picker| PluginConfig::Picker(Box::new(picker)))
}

fn receiver(root: &At<'_>) -> Result<IngestConfig, ConfigError> {
    let root = root.object(&["ingest"])?;
    ingest(&root.required("ingest")?.object(&["secretEnv", "maxBytes"])?)
}

fn ingest(object: &Object<'_>) -> Result<IngestConfig, ConfigError> {
    let secret_env = object.get("secretEnv").map_or(Ok("LLM_PICKER_SECRET"), |at| at.text())?;
    let max_bytes = object.get("maxBytes").map_or(Ok(4 << 20), |at| at.bytes())?;
    Ok(IngestConfig { secret_env: secret_env.to_owned(), max_bytes })
}

/// Keys of llm-picker's own beside the EndpointPickerConfig.
const OURS: [&str; 9] = [
    "pools",
    "gatewayShare",
    "objectives",
    "modelRewrites",
    "identity",
    "envoy",
    "pull",
    "failureMode",
    "decisionHeader",
];

fn picker(root: &At<'_>) -> Result<PickerConfig, ConfigError> {
    let known: Vec<&str> = epp::KEYS.iter().chain(&OURS).copied().collect();
    let object = root.object(&known)?;
    let modes = [("FailOpen", FailureMode::FailOpen), ("FailClose", FailureMode::FailClose)];
    let pools = pool::read(&object)?;
    let envoy = object.read("envoy", EnvoyConfig::default(), envoy::read)?;
    let sets_headers = pools.iter().any(|pool| pool.scheduler.scheduling.sets_headers());
    if envoy.way.hold() == Hold::BufferFilter && sets_headers {
        let rule = "must not go with a profile handler that sets headers, as headers can no longer \
                    be written once they went on; allowed: stopIteration";
        return Err(ConfigError::new("envoy.hold", rule).having("\"bufferFilter\""));
    }
    Ok(PickerConfig {
        pools,
        identity: object.read("identity", Identity::default(), identity::read)?,
        envoy,
        failure_mode: object.read("failureMode", FailureMode::FailClose, |at| at.one_of(&modes))?,
        decision_header: object.read("decisionHeader", false, At::flag)?,
    })
}
