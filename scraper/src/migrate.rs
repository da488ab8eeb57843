//! `migrate`, from an EPP to llm-picker: reads the manifests of today, writes values for the Helm
//! chart, or the plugin's configuration for an Envoy without Kubernetes.
//!
//! Parts that have no place there are listed above the values. Nothing is dropped in silence: an
//! object, a field, a parameter or an argument that is not known or has no effect here is on the list too.

mod config;
mod epp;
mod kserve;
mod models;
mod pool;
mod route;

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
    /// Rules that send a model's requests to another one.
    rewrites: Vec<Value>,
    /// Gateway that the routes name.
    gateway: Map<String, Value>,
    /// The scraper's settings.
    scraper: Map<String, Value>,
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

/// The plugin's configuration that an EPP's becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// Configuration as JSON.
    pub text: String,
    /// List of the parts that are not carried over, and of the work to be done by hand.
    pub notes: Vec<String>,
}

/// Returns the chart's values for the manifests in `yaml`, as YAML under comments that list the
/// parts left out.
///
/// # Errors
/// If the input is no YAML or too long, or there is nothing in it to carry over.
pub fn migrate(yaml: &str) -> Result<String, String> {
    read(yaml)?.print()
}

/// Returns the plugin's configuration for the manifests in `yaml`, which are those of one model.
///
/// # Errors
/// Those of [`migrate`], and for manifests of several models.
pub fn migrate_plugin(yaml: &str) -> Result<Migrated, String> {
    read(yaml)?.plugin()
}

fn read(yaml: &str) -> Result<Migration, String> {
    if yaml.len() > INPUT_BYTES_MAX {
        return Err(format!("found {} bytes; allowed: {INPUT_BYTES_MAX} or fewer", yaml.len()));
    }
    // Editors of some systems begin each file with a mark, and files follow each other here.
    let yaml = yaml.replace('\u{feff}', "");
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(&yaml).map_err(|why| format!("invalid YAML: {why}"))?;
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
    Ok(migration)
}

impl Migration {
    fn read(&mut self, object: &Value) {
        match kind(object) {
            "" if object.is_null() => (),
            "LLMInferenceService" => kserve::read(self, object),
            "Deployment" => epp::read_deployment(self, object),
            "ConfigMap" => epp::read_config_map(self, object),
            // A configuration's kind is often left out of what is pasted.
            kind if kind == "EndpointPickerConfig"
                || kind.is_empty() && object.get("plugins").is_some() =>
            {
                self.unassigned.push(UnassignedConfig {
                    map: String::new(),
                    key: title(object),
                    config: object.clone(),
                });
            }
            "InferencePool" => pool::read_pool(self, object),
            "InferenceObjective" => pool::read_objective(self, object),
            "InferenceModelRewrite" => pool::read_rewrite(self, object),
            "HTTPRoute" | "GRPCRoute" => route::read(self, object),
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

    /// Returns the values of all models, each with its configuration.
    fn assigned(&mut self) -> Vec<Map<String, Value>> {
        let mut models = std::mem::take(&mut self.models).into_all();
        if models.is_empty() {
            // Input without a model, such as a configuration alone, is one model's all the same.
            models.push(ModelValues::default());
        }
        self.assign_configs(&mut models);
        models.into_iter().map(|model| model.values).collect()
    }

    fn nothing(&self) -> String {
        format!(
            "found nothing to carry over; allowed: LLMInferenceService, Deployment, ConfigMap, \
             EndpointPickerConfig, InferencePool, InferenceObjective, InferenceModelRewrite, \
             HTTPRoute\n{}",
            self.notes.join("\n")
        )
    }

    fn print(mut self) -> Result<String, String> {
        let mut models = self.assigned();
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
        let sections = [
            ("picker", &mut self.picker),
            ("gateway", &mut self.gateway),
            ("scraper", &mut self.scraper),
        ];
        for (key, section) in sections {
            if !section.is_empty() {
                values.insert(key.to_owned(), Value::Object(std::mem::take(section)));
            }
        }
        if !self.objectives.is_empty() {
            let objectives = std::mem::take(&mut self.objectives);
            values.insert("objectives".to_owned(), Value::Array(objectives));
        }
        if let Some(group) = self.objective_group.take() {
            values.insert("objectiveGroup".to_owned(), json!(group));
        }
        if values.is_empty() {
            return Err(self.nothing());
        }
        written(&values, &self.notes)
    }

    fn plugin(mut self) -> Result<Migrated, String> {
        let models = self.assigned();
        let configs = models.iter().filter_map(|model| model.get("config")?.as_object());
        let configs: Vec<_> = configs.cloned().collect();
        if configs.len() > 1 {
            return Err(format!(
                "found the configurations of {} models; allowed: those of one, as the pools of a \
                 plugin need a match each, which no manifest has",
                configs.len()
            ));
        }
        let mut plugin = configs.into_iter().next().unwrap_or_default();
        // Values of the chart's that the plugin's configuration has as well.
        if let Some(mode) = self.picker.remove("failureMode") {
            plugin.insert("failureMode".to_owned(), mode);
        }
        let lists = [("objectives", &mut self.objectives), ("modelRewrites", &mut self.rewrites)];
        for (key, list) in lists {
            if !list.is_empty() {
                plugin.insert(key.to_owned(), Value::Array(std::mem::take(list)));
            }
        }
        if plugin.is_empty() {
            return Err(self.nothing());
        }
        let json = Value::Object(plugin);
        Ok(Migrated { text: format!("{json:#}\n"), notes: self.notes })
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
        text +=
            &format!("# - {}\n", note.replace(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'], " "));
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
