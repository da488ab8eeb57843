//! The plugin's configuration: the EPP's EndpointPickerConfig as JSON, and llm-picker's own keys
//! beside it.
//!
//! Anything that is not understood is refused, with the path, the value that was found and the
//! values that are allowed: a typing error in a weight must not become a pool that is balanced by
//! chance.

// Keys of llm-picker's own, in the order of a request's way.
mod envoy;
mod fallback;
mod identity;
mod match_index;
mod matching;
mod pool;
mod pull;
mod rewrites;
mod share;
mod steering;

// The EndpointPickerConfig.
mod epp;
mod flow;
mod plugin;
mod scheduling;

// Files, which programs read and the plugin does not.
#[cfg(not(target_family = "wasm"))]
mod document;
#[cfg(not(target_family = "wasm"))]
mod warning;

// Values and errors of both.
mod at;
mod claims;
mod duration;
mod error;
mod faults;
mod json;
mod keys;
mod note;
mod quantity;

use crate::push::SECRETS_MAX;
use at::Keys;
use faults::Faults;
use json::Tree;

pub use at::{At, Object};
pub use claims::Claims;
#[cfg(not(target_family = "wasm"))]
pub use document::{ConfigDocument, TextPlace, UnreadableText};
pub use duration::parse as parse_duration;
pub use envoy::{Destination, EnvoyConfig, Hold, ImpossibleWay, UnknownName, Way};
pub use error::ConfigError;
pub use fallback::{FALLBACK_HOPS_MAX, Fallback};
pub use faults::{Noted, RefusedConfig};
pub use identity::{FairnessKey, Identity, Jwt};
pub use match_index::{MatchGroup, MatchIndex};
pub use matching::{Destined, Match};
pub use note::ConfigNote;
pub use pool::{POOLS_MAX, Picking, PoolConfig};
pub use pull::PullConfig;
#[cfg(not(target_family = "wasm"))]
pub use warning::{ConfigWarning, ScraperPace};

/// Bytes of a configuration: a WasmPlugin lives in etcd, which takes objects of 1.5 MiB at most.
pub const CONFIG_BYTES_MAX: usize = 1 << 20;
/// Items in any list of a configuration but that of pools: a profile has some ten plugins, a pool some ten objectives.
pub const ITEMS_MAX: usize = 256;

/// Variables with the secrets of an ingest that names none.
const SECRET_ENVS: [&str; SECRETS_MAX] = ["LLM_PICKER_SECRET", "LLM_PICKER_SECRET_NEXT"];
/// Bytes of a snapshot of 4,096 endpoints with a dozen labels each, and as much again.
const INGEST_BYTES_MAX: u64 = 4 << 20;

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
    /// Environment variables with the secrets that pushes may be signed with, one or two: the second
    /// is for the time in which one takes the place of the other.
    pub secret_envs: Vec<String>,
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
    /// Choice of a request's route.
    pub routing: Routing,
    /// Treatment of a request for which no decision can be made.
    pub failure_mode: FailureMode,
    /// True if responses say why their endpoint was chosen.
    pub decision_header: bool,
    /// Use of the choices.
    pub mode: Mode,
}

impl PickerConfig {
    /// True if Envoy chooses a request's route anew, by headers with its model and pool.
    #[must_use]
    pub fn routes_anew(&self) -> bool {
        self.routing == Routing::ByModel
    }
}

/// Choice of a request's route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Routing {
    /// Made once, as the request came.
    #[default]
    Once,
    /// Made anew, by headers with its model and pool.
    ByModel,
}

/// Use of the choices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Envoy is told them, and requests wait for them.
    #[default]
    Steer,
    /// They are counted beside what Envoy does without them. Requests and responses pass as they are.
    Observe,
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
/// For bytes that are no JSON object, and for all that is not understood of it.
pub fn parse(bytes: &[u8]) -> Result<PluginConfig, RefusedConfig> {
    parse_noted(bytes).read
}

/// Reads a configuration as [`parse`] does, and notes what is taken and has no effect.
#[must_use]
pub fn parse_noted(bytes: &[u8]) -> Noted<PluginConfig> {
    match json::read(bytes) {
        Ok(tree) => read(&tree),
        Err(fault) => Noted { read: Err(RefusedConfig::unreadable(fault)), notes: Vec::new() },
    }
}

fn read(tree: &Tree) -> Noted<PluginConfig> {
    gathered(tree, |root| {
        if tree.value.get("ingest").is_some() {
            receiver(root).map(PluginConfig::Ingest)
        } else {
            picker(root).map(|picker| PluginConfig::Picker(Box::new(picker)))
        }
    })
}

/// Reads a tree with `read`, gathering all faults.
fn gathered<T>(
    Tree { value, repeated }: &Tree,
    read: impl FnOnce(&At<'_>) -> Result<T, ConfigError>,
) -> Noted<T> {
    let faults = Faults::default();
    for path in repeated {
        let problem = "must be given once; found more values than one";
        faults.add(ConfigError::new(path.as_str(), problem));
    }
    let read = read(&At::gathering(value, &faults));
    faults.finish(read)
}

fn receiver(root: &At<'_>) -> Result<IngestConfig, ConfigError> {
    let root = root.object(&["ingest"])?;
    ingest(&root.required("ingest")?.object(&["secretEnv", "maxBytes"])?)
}

fn ingest(object: &Object<'_>) -> Result<IngestConfig, ConfigError> {
    let default = SECRET_ENVS.map(str::to_owned).to_vec();
    Ok(IngestConfig {
        secret_envs: object.read("secretEnv", default, secret_envs)?,
        max_bytes: object.read("maxBytes", INGEST_BYTES_MAX, At::bytes)?,
    })
}

/// Reads the name of one variable, or a list of two.
fn secret_envs(at: &At<'_>) -> Result<Vec<String>, ConfigError> {
    let Ok(names) = at.list() else { return at.text().map(|name| vec![name.to_owned()]) };
    if !(1..=SECRETS_MAX).contains(&names.len()) {
        return Err(at.refuse_length(names.len(), &format!("1 to {SECRETS_MAX}")));
    }
    names.iter().map(|name| name.text().map(str::to_owned)).collect()
}

/// Keys of llm-picker's own beside the EndpointPickerConfig.
const OURS: [&str; 12] = [
    "pools",
    "routeHeaders",
    "gatewayShare",
    "toolsAt",
    "objectives",
    "modelRewrites",
    "identity",
    "envoy",
    "pull",
    "failureMode",
    "decisionHeader",
    "mode",
];

fn picker(root: &At<'_>) -> Result<PickerConfig, ConfigError> {
    let known: Vec<&str> = epp::KEYS.iter().chain(&OURS).copied().collect();
    let keys = Keys { known: &known, older: &epp::OLDER_KEYS, void: &epp::VOID_KEYS };
    let object = root.with_keys(&keys)?;
    let modes = [("FailOpen", FailureMode::FailOpen), ("FailClose", FailureMode::FailClose)];
    let uses = [("steer", Mode::Steer), ("observe", Mode::Observe)];
    let pools = object.settle(pool::read(&object), Vec::new())?;
    let envoy = object.read("envoy", EnvoyConfig::default(), envoy::read)?;
    let sets_headers = pools.iter().any(|pool| pool.scheduler.scheduling.sets_headers());
    if envoy.way.hold() == Hold::BufferFilter && sets_headers && object.is_sound() {
        let rule = "must not go with a profile handler that sets headers, as headers can no longer \
                    be written once they went on; allowed: stopIteration";
        let fault = ConfigError::new("envoy.hold", rule).having("\"bufferFilter\"");
        object.settle(Err(fault), ())?;
    }
    let route_headers = object.read("routeHeaders", false, At::flag)?;
    object.settle(routes(&pools, route_headers, envoy.way.hold()), ())?;
    Ok(PickerConfig {
        pools,
        routing: if route_headers { Routing::ByModel } else { Routing::Once },
        identity: object.read("identity", Identity::default(), identity::read)?,
        envoy,
        failure_mode: object.read("failureMode", FailureMode::FailClose, |at| at.one_of(&modes))?,
        decision_header: object.read("decisionHeader", false, At::flag)?,
        mode: object.read("mode", Mode::default(), |at| at.one_of(&uses))?,
    })
}

/// Checks what takes a route that is chosen anew.
fn routes(pools: &[PoolConfig], route_headers: bool, hold: Hold) -> Result<(), ConfigError> {
    if route_headers && hold == Hold::BufferFilter {
        let rule = "must not go with hold \"bufferFilter\", as headers can no longer be written once they went on; \
                    allowed: stopIteration";
        return Err(ConfigError::new("routeHeaders", rule).having("true"));
    }
    match pools.iter().position(PoolConfig::is_unpicked) {
        Some(place) if !route_headers => {
            let rule =
                "must not stand without routeHeaders, by which requests get the route of that pool";
            Err(ConfigError::new(format!("pools[{place}].unpicked"), rule).having("true"))
        }
        Some(_) | None => Ok(()),
    }
}
