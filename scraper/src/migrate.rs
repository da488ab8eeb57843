//! From an EPP to llm-picker: reads what runs today, writes values for the Helm chart.
//!
//! What is read has a place in the values; what has none is listed above them. Nothing is dropped in
//! silence: an object, a field or an argument that is not known here is on the list too.

mod config;
mod epp;
mod kserve;
mod pool;

use serde_json::{Map, Value, json};

/// Bytes of all input: some hundred manifests.
const INPUT_BYTES_MAX: usize = 8 << 20;

/// What is there, on its way to the chart's values.
#[derive(Debug, Default)]
struct Migration {
    model: Map<String, Value>,
    picker: Map<String, Value>,
    objectives: Vec<Value>,
    objective_group: Option<String>,
    /// What is not carried over, or is to be done by hand.
    notes: Vec<String>,
    /// A ConfigMap's key that a manifest refers to: it must be among the input.
    wanted: Vec<String>,
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
            "EndpointPickerConfig" => config::read(self, object, "EndpointPickerConfig"),
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

    fn print(mut self) -> Result<String, String> {
        for wanted in std::mem::take(&mut self.wanted) {
            self.note(format!("{wanted}: referred to and not among the input; give it too"));
        }
        if !self.model.is_empty() && !self.model.contains_key("name") {
            self.note("model.name: not in the input; set it".to_owned());
        }
        let mut values = Map::new();
        for (key, section) in [("model", self.model), ("picker", self.picker)] {
            if !section.is_empty() {
                values.insert(key.to_owned(), Value::Object(section));
            }
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
        let yaml = serde_saphyr::to_string(&values).map_err(|why| why.to_string())?;
        let mut text = "# Values for llm-picker's chart: helm install -f THIS …\n".to_owned();
        if !self.notes.is_empty() {
            text += "#\n# Left out, or left to do:\n";
        }
        for note in self.notes {
            text += &format!("# - {}\n", note.replace('\n', " "));
        }
        Ok(text + &yaml)
    }
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
