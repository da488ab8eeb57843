//! The plugins of an EndpointPickerConfig.

mod absent;
mod kind;
mod role;

mod admitter;
mod filter;
mod handler;
mod prefix;
mod scorer;

mod detector;
mod policy;

use picker_core::{
    Admitter, Decider, Filter, Handler, OutputEstimate, OutputRatio, Picker, Scorer,
    flow::{BandSelectionPolicy, FairnessPolicy, OrderingPolicy, UsageLimitPolicy},
    saturation::{Detector, DetectorKind},
};

use super::{
    At, ConfigError,
    at::{Keys, Object},
    share::Share,
};
use crate::body::Parser;
use kind::{IN_FLIGHT, PluginKind, TOKEN_PRODUCER};
use role::Role;

pub(super) use detector::{UTILIZATION, utilization};
pub(super) use prefix::{Prefix, of_index, one_index};

/// Plugin with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Plugin {
    Scorer(Scorer),
    Filter(Filter),
    Picker(Picker),
    Prefix(Prefix),
    Fairness(FairnessPolicy),
    Ordering(OrderingPolicy),
    UsageLimit(UsageLimitPolicy),
    BandSelection(BandSelectionPolicy),
    Detector(Detector),
    Handler(Handler),
    Admitter(Admitter),
    Decider(Decider),
    Parser(Parser),
    /// Decider that has prompts with media encoded apart.
    MediaDecider,
    OutputEstimate(OutputEstimate),
    /// Plugin that has no effect here: its work is done by the scraper, by the body scanner or not
    /// at all. Accepted so that an EPP's configuration can be pasted whole.
    Elsewhere,
}

impl Plugin {
    /// Returns the settings of the prefix index, if this plugin has them.
    pub(super) const fn prefix(&self) -> Option<Prefix> {
        if let Self::Prefix(prefix) = self { Some(*prefix) } else { None }
    }

    /// Returns the estimate of output, if this plugin has it.
    pub(super) const fn output_estimate(&self) -> Option<OutputEstimate> {
        if let Self::OutputEstimate(estimate) = self { Some(*estimate) } else { None }
    }

    /// Returns the parser, if this plugin is one.
    pub(super) const fn parser(&self) -> Option<Parser> {
        if let Self::Parser(parser) = self { Some(*parser) } else { None }
    }

    /// Returns the admitter, if this plugin is one.
    pub(super) const fn admitter(&self) -> Option<Admitter> {
        if let Self::Admitter(admitter) = self { Some(*admitter) } else { None }
    }

    /// Returns the profile handler, if this plugin is one.
    pub(super) const fn handler(&self) -> Option<&Handler> {
        if let Self::Handler(handler) = self { Some(handler) } else { None }
    }
}

/// Named plugins of a configuration.
pub(super) struct Plugins<'a> {
    named: Vec<(&'a str, Plugin)>,
    /// Names of those that could not be read: what refers to them is no fault of its own.
    faulty: Vec<String>,
    /// Share of the pool that is this gateway's.
    share: Share,
}

impl<'a> Plugins<'a> {
    /// Reads `plugins`, of which those that refer to others come last.
    pub(super) fn read(object: &Object<'a>, share: Share) -> Result<Self, ConfigError> {
        let mut plugins = Self { named: Vec::new(), faulty: Vec::new(), share };
        let Some(at) = object.get("plugins") else { return Ok(plugins) };
        let mut entries = object.settle(at.list(), Vec::new())?;
        entries.sort_by_key(refers);
        for at in entries {
            let read = plugins.add(&at);
            if read.is_err() {
                plugins.faulty.extend(name(&at));
            }
            object.settle(read, ())?;
        }
        Ok(plugins)
    }

    fn add(&mut self, at: &At<'a>) -> Result<(), ConfigError> {
        let (name, plugin) = self.entry(at)?;
        if self.named.iter().any(|(other, _)| *other == name) {
            let problem = "must have a name that no other plugin has";
            return Err(at.problem(problem).having(format!("{name:?}")));
        }
        self.named.push((name, plugin));
        Ok(())
    }

    fn entry(&self, at: &At<'a>) -> Result<(&'a str, Plugin), ConfigError> {
        let entry = at.object(&["name", "type", "parameters"])?;
        let kind_at = entry.required("type")?;
        let kind = PluginKind::read(&kind_at)?;
        let name = entry.read("name", kind_at.text()?, At::text)?;
        let plugin = self.with_parameters(kind, &entry)?;
        if let Some(at) = entry.get("parameters") {
            at.members()?.note_all(&VOID);
        }
        Ok((name, plugin))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Plugin> {
        self.named.iter().map(|(_, plugin)| plugin)
    }

    /// Returns the plugin that is named here, of any type.
    pub(super) fn refer(&self, at: &At<'_>) -> Result<&Plugin, ConfigError> {
        let name = at.text()?;
        let found = self.named.iter().find(|(other, _)| *other == name);
        found.map(|(_, plugin)| plugin).ok_or_else(|| self.blame(at, self.missing(at, name)))
    }

    /// Returns the error that no plugin is listed under a name.
    fn missing(&self, at: &At<'_>, name: &str) -> ConfigError {
        if PluginKind::named(name).is_some() {
            return at.refuse(&format!(
                "the name of a listed plugin; plugins has none of this name: add {{\"type\": {name:?}}}"
            ));
        }
        let names: Vec<&str> = self.named.iter().map(|(name, _)| *name).collect();
        match names.is_empty() {
            true => at.refuse("the name of a listed plugin; plugins lists none"),
            false => at.refuse_name(&names),
        }
    }

    /// Marks a fault as a consequence where it is about a plugin that could not be read.
    fn blame(&self, at: &At<'_>, fault: ConfigError) -> ConfigError {
        let is_faulty = at.text().is_ok_and(|name| self.faulty.iter().any(|it| it == name));
        if is_faulty { fault.consequence() } else { fault }
    }

    /// Returns the plugin that is named here, in its role. A type's name also stands for the plugin
    /// without parameters where none is listed under that name, as it does for the EPP's defaults.
    pub(super) fn find<T: Role>(&self, at: &At<'_>) -> Result<T, ConfigError> {
        let name = at.text()?;
        let found = match self.named.iter().find(|(other, _)| *other == name) {
            Some((_, plugin)) => T::from_plugin(plugin).cloned(),
            None => self.without_parameters(at)?.as_ref().and_then(T::from_plugin).cloned(),
        };
        let named = self.named.iter().filter(|(_, plugin)| T::from_plugin(plugin).is_some());
        let named = named.map(|(name, _)| *name).filter(|name| !T::TYPES.contains(name));
        found.ok_or_else(|| {
            let names = named.chain(T::TYPES.iter().copied()).collect::<Vec<_>>();
            self.blame(at, at.refuse_name(&names))
        })
    }

    /// Returns the plugin that is listed under this name, if it can play that part.
    pub(super) fn named<T: Role>(&self, name: &str) -> Option<T> {
        let found = self.named.iter().find(|(other, _)| *other == name);
        found.and_then(|(_, plugin)| T::from_plugin(plugin)).cloned()
    }

    fn without_parameters(&self, at: &At<'_>) -> Result<Option<Plugin>, ConfigError> {
        let name = at.text()?;
        let Some(kind) = PluginKind::named(name) else { return Ok(None) };
        self.with_parameters(kind, &Object::absent()).map(Some).map_err(|_| {
            at.refuse("the name of a listed plugin, as a plugin of this type needs parameters")
        })
    }

    /// Reads the plugin of that kind, with the `parameters` of its entry.
    fn with_parameters(&self, kind: PluginKind, entry: &Object<'_>) -> Result<Plugin, ConfigError> {
        let none = || entry.child("parameters", &[]);
        Ok(match kind {
            PluginKind::Scorer(scorer) => Plugin::Scorer(scorer::read(scorer, entry)?),
            PluginKind::Filter(filter) => Plugin::Filter(filter::read(filter, entry)?),
            PluginKind::Picker(picker) => Plugin::Picker(max_endpoints(picker, entry)?),
            PluginKind::Prefix => Plugin::Prefix(prefix::read(entry)?),
            PluginKind::Fairness(policy) => Plugin::Fairness(policy::fairness(policy, entry)?),
            PluginKind::Ordering(policy) => none().map(|_| Plugin::Ordering(policy))?,
            PluginKind::UsageLimit(kind) => Plugin::UsageLimit(policy::usage_limit(kind, entry)?),
            PluginKind::BandSelection(policy) => {
                Plugin::BandSelection(policy::band_selection(policy, entry)?)
            }
            PluginKind::Detector(kind) => Plugin::Detector(detector::read(kind, entry, self)?),
            PluginKind::Handler(kind) => Plugin::Handler(handler::read(kind, entry, self)?),
            PluginKind::Admitter(kind) => Plugin::Admitter(admitter::read(kind, entry)?),
            PluginKind::MediaDecider => none().map(|_| Plugin::MediaDecider)?,
            PluginKind::Decider(kind) => Plugin::Decider(handler::decider(kind, entry)?),
            // The bodies of what has no parser go by load.
            PluginKind::Parser(parser) => none().map(|_| Plugin::Parser(parser))?,
            PluginKind::Elsewhere { kind, why } => elsewhere(kind, why, entry)?,
        })
    }
}

/// Returns the name of an entry of `plugins`, which is its type's where it has none.
fn name(at: &At<'_>) -> Option<String> {
    let entry = at.members().ok()?;
    let name = entry.get("name").or_else(|| entry.get("type"))?;
    name.text().ok().map(str::to_owned)
}

/// True if an entry of `plugins` refers to others.
fn refers(at: &At<'_>) -> bool {
    let kind = at.members().ok().and_then(|entry| entry.get("type"));
    let kind = kind.and_then(|kind| kind.text().ok());
    kind.is_some_and(|kind| kind == DetectorKind::Max.name() || kind.ends_with("-handler"))
}

fn max_endpoints(picker: Picker, entry: &Object<'_>) -> Result<Picker, ConfigError> {
    let parameters = entry.child("parameters", &["maxNumOfEndpoints"])?;
    let count = |at: &At<'_>| at.whole(1, Picker::ENDPOINTS_MAX);
    let max_endpoints = parameters.read("maxNumOfEndpoints", picker.max_endpoints, count)?;
    Ok(Picker { max_endpoints, ..picker })
}

/// Parameters that no plugin here goes by, each with the reason: the names of the EPP's producers, of
/// which there is one each, and the limits of tables that have their own.
const VOID: [(&str, &str); 6] = [
    ("prefixMatchInfoProducerName", "there is one prefix index for each endpoint"),
    ("latencyPredictionInfoProducerName", "the scheduler predicts by itself"),
    ("inFlightLoadProducerName", "the ledger counts what is in flight"),
    ("topologyProducerName", "the scraper reads labels of pods"),
    ("producer", "attributes are the scraper's customMetrics"),
    ("lruSize", "every endpoint of a pool is remembered"),
];

/// Keys of token producers that ask a tokenizer.
const TOKENIZER: [(&str, &str); 5] = [
    ("modelName", NO_TOKENIZER),
    ("vllm", NO_TOKENIZER),
    ("udsTokenizerConfig", NO_TOKENIZER),
    ("tokenizersPoolConfig", NO_TOKENIZER),
    ("estimate", NO_TOKENIZER),
];
const NO_TOKENIZER: &str = "prompts are measured in bytes, and tokens are learnt from answers";

fn elsewhere(kind: &str, why: &str, entry: &Object<'_>) -> Result<Plugin, ConfigError> {
    if kind == TOKEN_PRODUCER {
        let keys = Keys { known: &["estimate", "backend"], older: &[], void: &TOKENIZER };
        let parameters = entry.child_with("parameters", &keys)?;
        parameters.read("backend", (), |at| at.one_of(&[("estimate", ()), ("vllm", ())]))?;
        parameters.note_all(&[("backend", NO_TOKENIZER)]);
    } else if kind.ends_with("-headers-handler") || kind.ends_with("-header-handler") {
        let parameters = entry.child("parameters", &["prefillProfile", "encodeProfile"])?;
        parameters.note_all(&[("prefillProfile", why), ("encodeProfile", why)]);
    } else if kind == IN_FLIGHT {
        return output_estimate(entry).map(Plugin::OutputEstimate);
    } else if let Some(at) = entry.get("parameters") {
        // Which path and scheme pods are scraped by is the scraper's command line.
        at.note(why);
    }
    Ok(Plugin::Elsewhere)
}

/// Reads the part of an `inflight-load-producer` that matters here: the ledger does the rest.
fn output_estimate(entry: &Object<'_>) -> Result<OutputEstimate, ConfigError> {
    let known = [
        "prefixMatchInfoProducerName",
        "addEstimatedOutputTokens",
        "outputRatio",
        "maxEstimatedOutputTokens",
    ];
    let parameters = entry.child("parameters", &known)?;
    let is_added = parameters.read("addEstimatedOutputTokens", false, At::flag)?;
    let default = OutputRatio::default();
    let ratio = parameters.read("outputRatio", default.ratio, |at| at.within(0.0, 100.0))?;
    let whole = |at: &At<'_>| at.whole(0, u32::MAX);
    let max = parameters.read("maxEstimatedOutputTokens", 0, whole)?;
    let ratio = OutputRatio { ratio, tokens_max: Some(max).filter(|max| *max > 0) };
    Ok(if is_added { OutputEstimate::OfPrompt(ratio) } else { OutputEstimate::Learnt })
}
