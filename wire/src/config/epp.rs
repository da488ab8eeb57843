//! The EPP's EndpointPickerConfig.

use picker_core::{Config, flow::FlowConfig, saturation::Detector};

use super::{
    At, ConfigError,
    at::{Keys, Object},
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

/// Older fields at its top level, which are read too: the one parser, and `dataLayer`.
pub(super) const OLDER_KEYS: [&str; 2] = [PARSER, DATA];
const PARSER: &str = "parser";
const DATA: &str = "data";
/// Fields that only an object of that kind in Kubernetes has.
pub(super) const VOID_KEYS: [(&str, &str); 1] = [("metadata", "a plugin has no name in it")];

const API_VERSIONS: [(&str, ()); 3] = [
    ("llm-d.ai/v1", ()),
    ("llm-d.ai/v1alpha1", ()),
    ("inference.networking.x-k8s.io/v1alpha1", ()),
];

/// Reads a configuration that has no other fields.
pub(super) fn read_strict(at: &At<'_>, share: Share) -> Result<Epp, ConfigError> {
    let keys = Keys { known: &KEYS, older: &OLDER_KEYS, void: &VOID_KEYS };
    read(&at.with_keys(&keys)?, share)
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
    let producer = plugins.iter().find_map(Plugin::prefix);
    let index = object.settle(plugin::of_index(object, producer), Prefix::default())?;
    let Prefix { auto_tune, prompt_blocks_max, capacity } = index;
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

/// Gates of the EPP that have no effect here, each with the reason.
const VOID_GATES: [(&str, &str); 5] = [
    ("haPopulateNonLeaderDatastore", "every worker has the snapshot"),
    ("experimentalPlugins", "plugins need no leave here"),
    // Of GIE 1.3 to 1.5 and llm-d 0.4 to 0.8.
    ("prepareDataPlugins", "data that plugins need is there without a gate"),
    ("dataLayer", "the scraper reads metrics without a gate"),
    ("enableLegacyMetrics", "metrics have their names of today alone"),
];

/// True if the gate `flowControl` is on. A gate that is off does not matter.
fn flow_control_gate(object: &Object<'_>) -> Result<bool, ConfigError> {
    let mut on = false;
    let mut gate = |at: &At<'_>| {
        let text = at.text()?;
        let (name, value) = text.split_once('=').unwrap_or((text, "true"));
        let void = VOID_GATES.iter().find(|(void, _)| *void == name);
        match (name, value, void) {
            ("flowControl", "true", _) => on = true,
            ("flowControl", "false", _) => on = false,
            (_, "true", Some((_, why))) => at.note(why),
            (_, "false", _) => (),
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
    let handler = object.child("requestHandler", &["parsers", "propagatePriority"])?;
    let parser = |entry: &At<'_>| {
        let at = entry.object(&["pluginRef"])?.required("pluginRef")?;
        plugins.refer(&at)?.parser().ok_or_else(|| at.refuse("a parser's name"))
    };
    let mut parsers = handler.read("parsers", Vec::new(), |at| at.each(parser))?;
    match object.get(PARSER) {
        Some(at) if !parsers.is_empty() => at.note("requestHandler.parsers count"),
        Some(at) => parsers.extend(object.settle(parser(&at).map(Some), None)?),
        None => (),
    }
    for key in ["dataLayer", DATA] {
        data_layer(object, key, plugins)?;
    }
    let propagate_priority = handler.read("propagatePriority", false, At::flag)?;
    Ok(RequestHandler { propagate_priority, parsers })
}

/// Checks the plugins that a data layer refers to: the scraper does their work.
fn data_layer(object: &Object<'_>, key: &str, plugins: &Plugins<'_>) -> Result<(), ConfigError> {
    let refer = |entry: &Object<'_>| plugins.refer(&entry.required("pluginRef")?).map(drop);
    let layer = object.child(key, &["sources", "injectDefaults"])?;
    layer.read("injectDefaults", true, At::flag)?;
    let extractor = |at: &At<'_>| refer(&at.object(&["pluginRef"])?);
    let source = |at: &At<'_>| {
        let source = at.object(&["pluginRef", "extractors"])?;
        source.settle(refer(&source), ())?;
        source.read("extractors", Vec::new(), |at| at.each(extractor)).map(drop)
    };
    layer.read("sources", Vec::new(), |at| at.each(source)).map(drop)
}
