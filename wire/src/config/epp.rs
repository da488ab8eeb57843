//! The EPP's EndpointPickerConfig.

use super::{
    At, ConfigError, PrefixParams, Scorer,
    at::Object,
    plugin::{self, Plugin},
};

/// How endpoints are scored and picked.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Each scorer with its weight, which is finite and not below zero.
    pub scorers: Vec<(Scorer, f64)>,
    /// How many of the best endpoints are named (`maxNumOfEndpoints`), at least 1: Envoy tries them
    /// in turn.
    pub max_endpoints: u32,
}

/// What an EndpointPickerConfig says.
pub(super) struct Epp {
    pub(super) profile: Profile,
    pub(super) prefix: PrefixParams,
}

impl Default for Epp {
    /// The EPP's, which it uses without any plugins.
    fn default() -> Self {
        let scorers = vec![
            (Scorer::Queue, 2.0),
            (Scorer::KvCacheUtilization, 2.0),
            (Scorer::PrefixCache, 3.0),
        ];
        Self { profile: Profile { scorers, max_endpoints: 1 }, prefix: PrefixParams::default() }
    }
}

/// The fields at its top level.
pub(super) const KEYS: [&str; 7] = [
    "apiVersion",
    "kind",
    "featureGates",
    "plugins",
    "schedulingProfiles",
    "requestHandler",
    "dataLayer",
];

const API_VERSIONS: [(&str, ()); 3] = [
    ("llm-d.ai/v1", ()),
    ("llm-d.ai/v1alpha1", ()),
    ("inference.networking.x-k8s.io/v1alpha1", ()),
];

/// Named plugins, in their order.
type Plugins<'a> = Vec<(&'a str, Plugin)>;

/// Reads a configuration that has no other fields.
pub(super) fn read_strict(at: &At<'_>) -> Result<Epp, ConfigError> {
    at.object(&KEYS)?;
    read(at)
}

/// Reads a configuration whose fields were checked, and which may have others beside them.
pub(super) fn read(at: &At<'_>) -> Result<Epp, ConfigError> {
    let object = at.members()?;
    if let Some(version) = object.get("apiVersion") {
        version.one_of(&API_VERSIONS)?;
    }
    if let Some(kind) = object.get("kind") {
        kind.one_of(&[("EndpointPickerConfig", ())])?;
    }
    gates(&object)?;
    let plugins = object.get("plugins").map_or(Ok(Vec::new()), |at| plugins(&at))?;
    handlers(&object, &plugins)?;
    let profiles = object.get("schedulingProfiles");
    if plugins.is_empty() && profiles.is_none() {
        return Ok(Epp::default());
    }
    let profile = match profiles {
        Some(at) => only_profile(&at, &plugins)?,
        None => gather(plugins.iter().map(|(_, plugin)| (*plugin, 1.0)))
            .ok_or_else(|| two_pickers(at))?,
    };
    let prefix = plugins.iter().find_map(|(_, plugin)| plugin.prefix());
    Ok(Epp { profile, prefix: prefix.unwrap_or_default() })
}

fn plugins<'a>(at: &At<'a>) -> Result<Plugins<'a>, ConfigError> {
    let mut plugins = Plugins::new();
    for at in at.list()? {
        let (name, plugin) = plugin::read(&at)?;
        if plugins.iter().any(|(other, _)| *other == name) {
            return Err(at.problem(format!("found {name:?} twice; allowed: names that differ")));
        }
        plugins.push((name, plugin));
    }
    Ok(plugins)
}

/// No gate may be on: what they open is not built yet.
fn gates(object: &Object<'_>) -> Result<(), ConfigError> {
    for gate in object.get("featureGates").map_or(Ok(Vec::new()), |at| at.list())? {
        if !gate.text()?.ends_with("=false") {
            return Err(gate.refuse("none, feature gates are not supported yet"));
        }
    }
    Ok(())
}

/// Checks what `requestHandler` and `dataLayer` refer to; there is nothing in them to choose.
fn handlers(object: &Object<'_>, plugins: &Plugins<'_>) -> Result<(), ConfigError> {
    if let Some(handler) = object.get("requestHandler") {
        let handler = handler.object(&["parsers"])?;
        for parser in handler.get("parsers").map_or(Ok(Vec::new()), |at| at.list())? {
            refer(&parser.object(&["pluginRef"])?, plugins)?;
        }
    }
    let Some(layer) = object.get("dataLayer") else { return Ok(()) };
    let layer = layer.object(&["sources", "injectDefaults"])?;
    layer.get("injectDefaults").map_or(Ok(true), |at| at.flag())?;
    for source in layer.get("sources").map_or(Ok(Vec::new()), |at| at.list())? {
        let source = source.object(&["pluginRef", "extractors"])?;
        refer(&source, plugins)?;
        for extractor in source.get("extractors").map_or(Ok(Vec::new()), |at| at.list())? {
            refer(&extractor.object(&["pluginRef"])?, plugins)?;
        }
    }
    Ok(())
}

fn only_profile(at: &At<'_>, plugins: &Plugins<'_>) -> Result<Profile, ConfigError> {
    let profiles = at.list()?;
    let [profile] = profiles.as_slice() else {
        let found = profiles.len();
        return Err(
            at.problem(format!("found {found} profiles; allowed: 1, more are not supported yet"))
        );
    };
    let object = profile.object(&["name", "plugins"])?;
    let mut weighted = Vec::new();
    for at in object.get("plugins").map_or(Ok(Vec::new()), |at| at.list())? {
        let entry = at.object(&["pluginRef", "weight"])?;
        let weight = entry.get("weight").map_or(Ok(1.0), |at| weight(&at))?;
        weighted.push((refer(&entry, plugins)?, weight));
    }
    gather(weighted).ok_or_else(|| two_pickers(profile))
}

fn weight(at: &At<'_>) -> Result<f64, ConfigError> {
    at.number()
        .filter(|weight| *weight >= 0.0)
        .ok_or_else(|| at.refuse("a finite number that is not below zero"))
}

/// The plugin that `pluginRef` names.
fn refer(entry: &Object<'_>, plugins: &Plugins<'_>) -> Result<Plugin, ConfigError> {
    let at = entry.required("pluginRef")?;
    at.one_of(plugins)
}

/// The profile with these plugins, of which only scorers and pickers count. `None` with two pickers.
fn gather(plugins: impl IntoIterator<Item = (Plugin, f64)>) -> Option<Profile> {
    let mut scorers = Vec::new();
    let mut picker = None;
    for (plugin, weight) in plugins {
        match plugin {
            Plugin::Scorer(scorer) => scorers.push((scorer, weight)),
            Plugin::MaxScorePicker { max_endpoints } => {
                if picker.replace(max_endpoints).is_some() {
                    return None;
                }
            }
            Plugin::PrefixProducer(_) | Plugin::ProfileHandler | Plugin::Elsewhere => (),
        }
    }
    // The EPP adds a max-score-picker where there is none.
    Some(Profile { scorers, max_endpoints: picker.unwrap_or(1) })
}

fn two_pickers(at: &At<'_>) -> ConfigError {
    at.problem("found two pickers; allowed: one in a profile".to_owned())
}
