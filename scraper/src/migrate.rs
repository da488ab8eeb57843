//! From an EPP to llm-picker: reads what runs today, writes values for the Helm chart.
//!
//! What is read has a place in the values; what has none is listed above them. Nothing is dropped in
//! silence: an object, a field or an argument that is not known here is on the list too.

mod config;
mod epp;
mod kserve;
mod models;
mod pool;

use serde_json::{Map, Value, json};

use models::{Model, Models};

/// Bytes of all input: some hundred manifests.
const INPUT_BYTES_MAX: usize = 8 << 20;

/// What is there, on its way to the chart's values.
#[derive(Debug, Default)]
struct Migration {
    models: Models,
    picker: Map<String, Value>,
    objectives: Vec<Value>,
    objective_group: Option<String>,
    /// What is not carried over, or is to be done by hand.
    notes: Vec<String>,
    /// The configurations in ConfigMaps: whose they are shows when all was read.
    loose: Vec<Loose>,
}

/// An EndpointPickerConfig in a ConfigMap.
#[derive(Debug)]
struct Loose {
    map: String,
    key: String,
    config: Value,
}

/// The chart's values for the manifests in `yaml`, as YAML under comments that list what they leave
/// out.
///
/// # Errors
/// If the input is no YAML or too long, or there is nothing in it to carry over.
pub fn migrate(yaml: &str) -> Result<String, String> {
    if yaml.len() > INPUT_BYTES_MAX {
        return Err(format!("found {} bytes; allowed: {INPUT_BYTES_MAX}", yaml.len()));
    }
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(yaml).map_err(|why| format!("not YAML: {why}"))?;
    let mut migration = Migration::default();
    // What kubectl prints of several objects.
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
                self.loose.push(Loose {
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

    /// Lists every field of `object` but these, each by its path.
    fn note_others(&mut self, object: &Value, of: &str, known: &[&str]) {
        let others = object.as_object().into_iter().flatten();
        for (key, _) in others.filter(|(key, _)| !known.contains(&key.as_str())) {
            self.note(format!("{of}.{key}: not carried over"));
        }
    }

    /// Each model's configuration from the ConfigMap that it names, and one that nobody names to the model that has none.
    fn settle(&mut self, models: &mut [Model]) {
        let mut loose = std::mem::take(&mut self.loose);
        for model in &mut *models {
            let Some(wanted) = model.wanted.take() else { continue };
            match loose.iter().position(|it| wanted.is(&it.map, &it.key)) {
                Some(at) => self.configure(&mut model.values, &loose.remove(at)),
                None if !loose.iter().any(|it| it.map.is_empty()) => {
                    let key = wanted.key;
                    self.note(format!("{key}: referred to and not among the input; give it too"));
                }
                None => (),
            }
        }
        for config in loose {
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

    fn configure(&mut self, values: &mut Map<String, Value>, loose: &Loose) {
        if let Some(config) = config::carried(self, &loose.config, &loose.title()) {
            values.insert("config".to_owned(), config);
        }
    }

    fn print(mut self) -> Result<String, String> {
        let mut models = std::mem::take(&mut self.models).into_all();
        if models.is_empty() {
            // What has no model in the input is one's all the same.
            models.push(Model::default());
        }
        self.settle(&mut models);
        let mut models: Vec<_> = models.into_iter().map(|model| model.values).collect();
        if let [only] = &mut *models {
            // What the chart takes for all models, and so for those to come.
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

impl Loose {
    fn title(&self) -> String {
        if self.map.is_empty() {
            return self.key.clone();
        }
        format!("ConfigMap {}, key {}", self.map, self.key)
    }
}

/// The values as YAML, under the list of what they leave out.
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

/// `Kind namespace/name`, as far as it is said.
fn title(object: &Value) -> String {
    let kind = if kind(object).is_empty() { "an object without a kind" } else { kind(object) };
    let name = text(object, "/metadata/name").unwrap_or("without a name");
    match text(object, "/metadata/namespace") {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}
