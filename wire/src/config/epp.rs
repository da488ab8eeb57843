//! The EPP's EndpointPickerConfig.

use picker_core::{Config, flow::FlowConfig};

use super::{
    At, ConfigError,
    at::Object,
    flow,
    plugin::{self, Plugin, Plugins, Prefix},
    scheduling,
    share::Share,
};
use crate::body::Parser;

/// Contents of an EndpointPickerConfig.
pub(super) struct Epp {
    pub(super) scheduler: Config,
    pub(super) prompt_blocks_max: u32,
    pub(super) flow: Option<FlowConfig>,
    pub(super) propagate_priority: bool,
    pub(super) parsers: Vec<Parser>,
}

/// Fields at its top level.
pub(super) const KEYS: [&str; 9] = [
    "apiVersion",
    "kind",
    "featureGates",
    "plugins",
    "schedulingProfiles",
    "flowControl",
    "saturationDetector",
    "requestHandler",
    "dataLayer",
];

const API_VERSIONS: [(&str, ()); 3] = [
    ("llm-d.ai/v1", ()),
    ("llm-d.ai/v1alpha1", ()),
    ("inference.networking.x-k8s.io/v1alpha1", ()),
];

/// Reads a configuration that has no other fields.
pub(super) fn read_strict(at: &At<'_>, share: Share) -> Result<Epp, ConfigError> {
    read(&at.object(&KEYS)?, share)
}

/// Reads a configuration with fields that were checked, and with others beside them.
pub(super) fn read(object: &Object<'_>, share: Share) -> Result<Epp, ConfigError> {
    object.read("apiVersion", (), |at| at.one_of(&API_VERSIONS))?;
    object.read("kind", (), |at| at.one_of(&[("EndpointPickerConfig", ())]))?;
    let gate = flow_control_gate(object)?;
    let plugins = Plugins::read(object, share)?;
    plugin::one_index(object)?;
    let RequestHandler { propagate_priority, parsers } = handlers(object, &plugins)?;
    // Read even if the gate is off, as the EPP does, so that a mistake does not wait for it.
    let flow = object.read("flowControl", FlowConfig::default(), |at| flow::read(at, &plugins))?;
    let prefix = plugins.iter().find_map(Plugin::prefix);
    let Prefix { auto_tune, prompt_blocks_max, capacity } = prefix.unwrap_or_default();
    let detector = flow::detector(object, &plugins)?;
    let mut scheduling = scheduling::read(object, &plugins)?;
    if gate {
        scheduling::drop_full(&mut scheduling, &detector);
    }
    let scheduler = Config {
        admitters: plugins.iter().filter_map(Plugin::admitter).collect(),
        scheduling,
        detector,
        auto_tune,
        default_capacity: capacity,
        ..Config::default()
    };
    let flow = gate.then_some(flow);
    Ok(Epp { scheduler, prompt_blocks_max, flow, propagate_priority, parsers })
}

/// True if the gate `flowControl` is on. Of the EPP's other gates one says which of its replicas
/// fill their stores, and one admits plugins that need no such leave here; a gate that is off does
/// not matter.
fn flow_control_gate(object: &Object<'_>) -> Result<bool, ConfigError> {
    let mut on = false;
    for at in object.read("featureGates", Vec::new(), At::list)? {
        match at.text()? {
            "flowControl" | "flowControl=true" => on = true,
            "flowControl=false" => on = false,
            "haPopulateNonLeaderDatastore" | "haPopulateNonLeaderDatastore=true" => (),
            "experimentalPlugins" | "experimentalPlugins=true" => (),
            other if other.ends_with("=false") => (),
            _ => {
                return Err(at.refuse_name(&[
                    "flowControl",
                    "flowControl=true",
                    "flowControl=false",
                ]));
            }
        }
    }
    Ok(on)
}

/// Settings of `requestHandler`.
struct RequestHandler {
    propagate_priority: bool,
    parsers: Vec<Parser>,
}

/// Checks the plugins that `requestHandler` and `dataLayer` refer to, and returns the settings of
/// the former.
fn handlers(object: &Object<'_>, plugins: &Plugins<'_>) -> Result<RequestHandler, ConfigError> {
    let refer = |entry: &Object<'_>| plugins.refer(&entry.required("pluginRef")?).map(drop);
    let handler = object.child("requestHandler", &["parsers", "propagatePriority"])?;
    let mut parsers = Vec::new();
    for parser in handler.read("parsers", Vec::new(), At::list)? {
        let at = parser.object(&["pluginRef"])?.required("pluginRef")?;
        parsers.push(plugins.refer(&at)?.parser().ok_or_else(|| at.refuse("a parser's name"))?);
    }
    let layer = object.child("dataLayer", &["sources", "injectDefaults"])?;
    layer.read("injectDefaults", true, At::flag)?;
    for source in layer.read("sources", Vec::new(), At::list)? {
        let source = source.object(&["pluginRef", "extractors"])?;
        refer(&source)?;
        for extractor in source.read("extractors", Vec::new(), At::list)? {
            refer(&extractor.object(&["pluginRef"])?)?;
        }
    }
    let propagate_priority = handler.read("propagatePriority", false, At::flag)?;
    Ok(RequestHandler { propagate_priority, parsers })
}
