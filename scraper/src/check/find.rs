//! The configurations in a file: the file itself, or parts of the manifests in it.

use serde_json::Value;
use wire::config::{ConfigDocument, UnreadableText};

/// Message for a file that holds nothing to check.
pub(super) const NOTHING: &str = "1:1: invalid file: must be an EndpointPickerConfig, the plugin's configuration or the scraper's \
     settings, or a WasmPlugin, EnvoyFilter, ConfigMap, LLMInferenceService or the chart's values with \
     one in it";

/// A configuration, or the reason why it cannot be read.
pub(super) type Subject = Result<Checked, UnreadableText>;

/// A configuration that is to be checked.
pub(super) struct Checked {
    /// Name of the part of the file.
    pub(super) label: String,
    pub(super) document: ConfigDocument,
    /// True for the scraper's settings, false for the plugin's configuration.
    pub(super) is_scraper: bool,
}

/// Returns every configuration in a text.
pub(super) fn subjects(text: &str) -> Vec<Subject> {
    match ConfigDocument::read_all(text) {
        Ok(documents) if documents.is_empty() => {
            plugin("the plugin's defaults", ConfigDocument::default())
        }
        Ok(documents) => documents.into_iter().flat_map(|it| of_document(it, text)).collect(),
        Err(unreadable) => vec![Err(unreadable)],
    }
}

fn plugin(label: &str, document: ConfigDocument) -> Vec<Subject> {
    vec![Ok(Checked { label: label.to_owned(), document, is_scraper: false })]
}

fn of_document(document: ConfigDocument, text: &str) -> Vec<Subject> {
    let value = document.value();
    let Some(kind) = value.get("kind").and_then(Value::as_str) else {
        return of_file(document, text);
    };
    if kind == "EndpointPickerConfig" {
        return plugin("EndpointPickerConfig", document);
    }
    let name = value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let label = format!("{kind} {name}");
    if kind == "List" {
        let items = value.get("items").and_then(Value::as_array).map_or(0, Vec::len);
        let parts = (0..items).filter_map(|index| document.part(&format!("items[{index}]")));
        return parts.flat_map(|part| of_document(part, text)).collect();
    }
    let mut places = Vec::new();
    configurations(value, "", &mut places);
    let part = |path: String| {
        let is_text = document.part(&path).is_some_and(|part| part.value().is_string());
        let document = match is_text {
            true => document.embedded(&path, text)?,
            false => Ok(document.part(&path)?),
        };
        let label = format!("{label}, {path}");
        Some(document.map(|document| Checked { label, document, is_scraper: false }))
    };
    places.into_iter().filter_map(part).collect()
}

/// Collects the paths of all configurations within a manifest.
fn configurations(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let dot = if path.is_empty() { "" } else { "." };
                let inner = format!("{path}{dot}{key}");
                match value {
                    Value::Object(_) if key == "pluginConfig" => found.push(inner),
                    Value::Object(_) if is_epp(value) => found.push(inner),
                    // Envoy's Wasm filter has it as a StringValue.
                    Value::Object(it) if key == "configuration" && it.contains_key("value") => {
                        found.push(format!("{inner}.value"));
                    }
                    Value::String(text) if text.contains("kind: EndpointPickerConfig") => {
                        found.push(inner);
                    }
                    Value::Null
                    | Value::Bool(_)
                    | Value::Number(_)
                    | Value::String(_)
                    | Value::Array(_)
                    | Value::Object(_) => configurations(value, &inner, found),
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                configurations(item, &format!("{path}[{index}]"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (),
    }
}

fn is_epp(value: &Value) -> bool {
    value.get("kind").and_then(Value::as_str) == Some("EndpointPickerConfig")
}

/// Keys that the scraper's settings have and the plugin's configuration has not.
const OF_THE_SCRAPER: [&str; 10] = [
    "listen",
    "secretEnv",
    "secretFile",
    "interval",
    "idleInterval",
    "timeout",
    "concurrentScrapes",
    "kubeconfig",
    "gateways",
    "plugin",
];
/// Keys of a pool of the scraper's.
const OF_A_POOL: [&str; 4] = ["endpoints", "endpointsFile", "inferencePool", "pods"];

/// Tells the files apart that have no kind.
fn of_file(document: ConfigDocument, text: &str) -> Vec<Subject> {
    let value = document.value();
    let has = |keys: &[&str], value: &Value| keys.iter().any(|key| value.get(key).is_some());
    let pools = value.get("pools").and_then(Value::as_array);
    let scrapes = pools.is_some_and(|pools| pools.iter().any(|pool| has(&OF_A_POOL, pool)));
    if scrapes || has(&OF_THE_SCRAPER, value) {
        let label = "the scraper's settings".to_owned();
        return vec![Ok(Checked { label, document, is_scraper: true })];
    }
    if !has(&["picker", "models", "gateway"], value) {
        return plugin("the plugin's configuration", document);
    }
    let models = value.get("models").and_then(Value::as_array).map_or(0, Vec::len);
    let models = (0..models).map(|index| format!("models[{index}].config"));
    let paths = std::iter::once("picker.config".to_owned()).chain(models);
    let part = |path: String| {
        let document = match document.embedded(&path, text) {
            Some(document) => document,
            None => Ok(document.part(&path)?),
        };
        let label = format!("the chart's values, {path}");
        Some(document.map(|document| Checked { label, document, is_scraper: false }))
    };
    paths.filter_map(part).collect()
}
