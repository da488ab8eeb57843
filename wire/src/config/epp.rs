//! The EPP's EndpointPickerConfig.

use picker_core::{Config, flow::FlowConfig, saturation::Detector};

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
    let gate = object.settle(flow_control_gate(object), false)?;
    let plugins = Plugins::read(object, share)?;
    object.settle(plugin::one_index(object), ())?;
    let handlers = object.settle(handlers(object, &plugins), RequestHandler::default())?;
    let RequestHandler { propagate_priority, parsers } = handlers;
    // Read even if the gate is off, as the EPP does, so that a mistake does not wait for it.
    let flow = object.read("flowControl", FlowConfig::default(), |at| flow::read(at, &plugins))?;
    let prefix = plugins.iter().find_map(Plugin::prefix);
    let Prefix { auto_tune, prompt_blocks_max, capacity } = prefix.unwrap_or_default();
    let estimate = plugins.iter().find_map(Plugin::output_estimate);
    let detector = object.settle(flow::detector(object, &plugins), Detector::default())?;
    let default = Config::default().scheduling;
    let mut scheduling = object.settle(scheduling::read(object, &plugins), default)?;
    if gate {
        scheduling::drop_full(&mut scheduling, &detector);
    }
    let scheduler = Config {
        admitters: plugins.iter().filter_map(Plugin::admitter).collect(),
        scheduling,
        detector,
        auto_tune,
        default_capacity: capacity,
        output_estimate: estimate.unwrap_or_default(),
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
    let mut gate = |at: &At<'_>| {
        match at.text()? {
            "flowControl" | "flowControl=true" => on = true,
            "flowControl=false" => on = false,
            "haPopulateNonLeaderDatastore" | "haPopulateNonLeaderDatastore=true" => (),
            "experimentalPlugins" | "experimentalPlugins=true" => (),
            other if other.ends_with("=false") => (),
            _ => {
                let known = ["flowControl", "flowControl=true", "flowControl=false"];
                return Err(at.refuse_name(&known));
            }
        }
        Ok(())
    };
    object.read("featureGates", Vec::new(), |at| at.each(&mut gate))?;
    Ok(on)
}

/// Settings of `requestHandler`.
#[derive(Default)]
struct RequestHandler {
    propagate_priority: bool,
    parsers: Vec<Parser>,
}

/// Checks the plugins that `requestHandler` and `dataLayer` refer to, and returns the settings of
/// the former.
fn handlers(object: &Object<'_>, plugins: &Plugins<'_>) -> Result<RequestHandler, ConfigError> {
    let refer = |entry: &Object<'_>| plugins.refer(&entry.required("pluginRef")?).map(drop);
    let handler = object.child("requestHandler", &["parsers", "propagatePriority"])?;
    let parser = |entry: &At<'_>| {
        let at = entry.object(&["pluginRef"])?.required("pluginRef")?;
        plugins.refer(&at)?.parser().ok_or_else(|| at.refuse("a parser's name"))
    };
    let parsers = handler.read("parsers", Vec::new(), |at| at.each(parser))?;
    let layer = object.child("dataLayer", &["sources", "injectDefaults"])?;
    layer.read("injectDefaults", true, At::flag)?;
    let extractor = |at: &At<'_>| refer(&at.object(&["pluginRef"])?);
    let source = |at: &At<'_>| {
        let source = at.object(&["pluginRef", "extractors"])?;
        source.settle(refer(&source), ())?;
        source.read("extractors", Vec::new(), |at| at.each(extractor)).map(drop)
    };
    layer.read("sources", Vec::new(), |at| at.each(source))?;
    let propagate_priority = handler.read("propagatePriority", false, At::flag)?;
    Ok(RequestHandler { propagate_priority, parsers })
}
