//! `migrate`, from an EPP to llm-picker: reads the manifests of today, writes values for the Helm
//! chart.
//!
//! Parts that have no place in the values are listed above them. Nothing is dropped in silence: an
//! object, a field or an argument that is not known here is on the list too.

mod config;
mod epp;
mod kserve;
mod models;
mod pool;

use serde_json::{Map, Value, json};

use models::{ModelValues, Models};

/// Bytes of the longest input: some hundred manifests.
const INPUT_BYTES_MAX: usize = 8 << 20;

/// The manifests read so far, on their way to the chart's values.
#[derive(Debug, Default)]
struct Migration {
    models: Models,
    picker: Map<String, Value>,
    objectives: Vec<Value>,
    objective_group: Option<String>,
    /// List of the parts that are not carried over, and of the work to be done by hand.
    notes: Vec<String>,
    /// Configurations that can be assigned to models only when all manifests were read.
    unassigned: Vec<UnassignedConfig>,
}

/// An EndpointPickerConfig in a ConfigMap, or in a manifest of its own.
#[derive(Debug)]
struct UnassignedConfig {
    /// Name of the ConfigMap; empty for a manifest of its own.
    map: String,
    /// Key in the ConfigMap, or title of the manifest.
    key: String,
    config: Value,
}

/// Returns the chart's values for the manifests in `yaml`, as YAML under comments that list the
/// parts left out.
///
/// # Errors
/// If the input is no YAML or too long, or there is nothing in it to carry over.
pub fn migrate(yaml: &str) -> Result<String, String> {
    if yaml.len() > INPUT_BYTES_MAX {
        return Err(format!("found {} bytes; allowed: {INPUT_BYTES_MAX} or fewer", yaml.len()));
    }
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(yaml).map_err(|why| format!("invalid YAML: {why}"))?;
    let mut migration = Migration::default();
    // kubectl prints several objects as one of kind List.
    for document in documents {
        match document.pointer("/items").and_then(Value::as_array) {
            Some(items) if kind(&document) == "List" => {
                items.iter().for_each(|item| migration.read(item));
            }
            _ => migration.read(&document),
        }
    }
    migration.print()
}

impl Migration {
    fn read(&mut self, object: &Value) {
        match kind(object) {
            "" if object.is_null() => (),
            "LLMInferenceService" => kserve::read(self, object),
            "Deployment" => epp::read_deployment(self, object),
            "ConfigMap" => epp::read_config_map(self, object),
            "EndpointPickerConfig" => {
                self.unassigned.push(UnassignedConfig {
                    map: String::new(),
                    key: title(object),
                    config: object.clone(),
                });
            }
            "InferencePool" => pool::read_pool(self, object),
            "InferenceObjective" => pool::read_objective(self, object),
            _ => self.note(format!("{}: not read; llm-picker has no use for it", title(object))),
        }
    }

    fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Lists every field of the object at `path` that is not `known`.
    fn note_others(&mut self, object: &Value, path: &str, known: &[&str]) {
        let others = object.as_object().into_iter().flatten();
        for (key, _) in others.filter(|(key, _)| !known.contains(&key.as_str())) {
            self.note(format!("{path}.{key}: not carried over"));
        }
    }

    /// Gives each model the configuration in the ConfigMap that it names, and a configuration that
    /// no model names to the only model without one.
    fn assign_configs(&mut self, models: &mut [ModelValues]) {
        let mut unassigned = std::mem::take(&mut self.unassigned);
        for model in &mut *models {
            let Some(reference) = model.config.take() else { continue };
            match unassigned.iter().position(|it| reference.is_to(&it.map, &it.key)) {
                Some(at) => self.configure(&mut model.values, &unassigned.remove(at)),
                // A configuration in a manifest of its own may be the one that is meant.
                None if !unassigned.iter().any(|it| it.map.is_empty()) => {
                    let key = reference.key;
                    self.note(format!("{key}: referred to and not among the input; give it too"));
                }
                None => (),
            }
        }
        for config in unassigned {
            let mut without = models.iter_mut().filter(|it| !it.values.contains_key("config"));
            match (without.next(), without.next()) {
                (Some(only), None) => self.configure(&mut only.values, &config),
                _ => {
                    let title = config.title();
                    self.note(format!(
                        "{title}: an EndpointPickerConfig that no one model names; not carried over"
                    ));
                }
            }
        }
    }

    fn configure(&mut self, values: &mut Map<String, Value>, config: &UnassignedConfig) {
        if let Some(config) = config::carried(self, &config.config, &config.title()) {
            values.insert("config".to_owned(), config);
        }
    }

    fn print(mut self) -> Result<String, String> {
        let mut models = std::mem::take(&mut self.models).into_all();
        if models.is_empty() {
            // Input without a model, such as a configuration alone, is one model's all the same.
            models.push(ModelValues::default());
        }
        self.assign_configs(&mut models);
        let mut models: Vec<_> = models.into_iter().map(|model| model.values).collect();
        if let [only] = &mut *models {
            // A single model's configuration becomes that of all models, also of those to come.
            self.picker.extend(only.remove_entry("config"));
        }
        models.retain(|model| !model.is_empty());
        for (number, model) in models.iter().enumerate() {
            for key in ["name", "namespace"].into_iter().filter(|key| !model.contains_key(*key)) {
                self.note(format!("models[{number}].{key}: not in the input; set it"));
            }
        }
        let mut values = Map::new();
        if !models.is_empty() {
            let models = models.into_iter().map(Value::Object).collect();
            values.insert("models".to_owned(), Value::Array(models));
        }
        if !self.picker.is_empty() {
            values.insert("picker".to_owned(), Value::Object(self.picker));
        }
        if !self.objectives.is_empty() {
            values.insert("objectives".to_owned(), Value::Array(self.objectives));
        }
        if let Some(group) = self.objective_group {
            values.insert("objectiveGroup".to_owned(), json!(group));
        }
        if values.is_empty() {
            return Err(format!(
                "found nothing to carry over; allowed: LLMInferenceService, Deployment, ConfigMap, \
                 EndpointPickerConfig, InferencePool, InferenceObjective\n{}",
                self.notes.join("\n")
            ));
        }
        written(&values, &self.notes)
    }
}

impl UnassignedConfig {
    fn title(&self) -> String {
        if self.map.is_empty() {
            return self.key.clone();
        }
        format!("ConfigMap {}, key {}", self.map, self.key)
    }
}

/// Returns the values as YAML, under the list of the parts left out.
fn written(values: &Map<String, Value>, notes: &[String]) -> Result<String, String> {
    let yaml = serde_saphyr::to_string(values).map_err(|why| why.to_string())?;
    let mut text = "# Values for llm-picker's chart: helm install -f THIS …\n".to_owned();
    if !notes.is_empty() {
        text += "#\n# Left out, or left to do:\n";
    }
    for note in notes {
        text += &format!("# - {}\n", note.replace('\n', " "));
    }
    Ok(text + &yaml)
}

fn kind(object: &Value) -> &str {
    text(object, "/kind").unwrap_or_default()
}

fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Value::as_str)
}

/// Returns `Kind namespace/name`, as far as the object names them.
fn title(object: &Value) -> String {
    let kind = if kind(object).is_empty() { "an object without a kind" } else { kind(object) };
    let name = text(object, "/metadata/name").unwrap_or("without a name");
    match text(object, "/metadata/namespace") {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}
