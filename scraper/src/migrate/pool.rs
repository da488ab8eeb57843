//! InferencePools and InferenceObjectives.

use serde_json::{Value, json};

use super::{Migration, text, title};

/// Reads which pods there are, and what happens without a picker.
pub(super) fn read_pool(migration: &mut Migration, object: &Value) {
    let title = title(object);
    if let Some(name) = text(object, "/metadata/name") {
        let pool = json!({"create": false, "name": name});
        migration.model.insert("inferencePool".to_owned(), pool);
        migration.model.entry("name").or_insert_with(|| json!(name));
    }
    if let Some(namespace) = text(object, "/metadata/namespace") {
        migration.model.insert("namespace".to_owned(), json!(namespace));
    }
    if let Some(labels) = object.pointer("/spec/selector/matchLabels") {
        migration.model.insert("podLabels".to_owned(), labels.clone());
    }
    let ports = object.pointer("/spec/targetPorts").and_then(Value::as_array);
    if let Some(port) = ports.and_then(|ports| ports.first()?.get("number")) {
        migration.model.insert("port".to_owned(), port.clone());
    }
    if ports.is_some_and(|ports| ports.len() > 1) {
        migration.note(format!("{title}: spec.targetPorts: the scraper takes all of them, the chart's Service only the first"));
    }
    if let Some(mode) = text(object, "/spec/endpointPickerRef/failureMode") {
        migration.picker.insert("failureMode".to_owned(), json!(mode));
    }
    if object.pointer("/spec/endpointPickerRef").is_some() {
        migration.note(format!(
            "{title}: spec.endpointPickerRef: let the HTTPRoute name the model's Service and not \
             this pool, else the gateway goes on asking the EPP"
        ));
    }
    if let Some(spec) = object.get("spec") {
        let known = ["selector", "targetPorts", "endpointPickerRef"];
        migration.note_others(spec, &format!("{title}: spec"), &known);
    }
}

/// Reads how much a request of that objective matters.
pub(super) fn read_objective(migration: &mut Migration, object: &Value) {
    let title = title(object);
    let Some(name) = text(object, "/metadata/name") else {
        return migration.note(format!("{title}: not carried over"));
    };
    let priority = object.pointer("/spec/priority").cloned().unwrap_or_else(|| json!(0));
    migration.objectives.push(json!({"name": name, "priority": priority}));
    let group = text(object, "/apiVersion").and_then(|version| version.split_once('/'));
    if let Some((group, _)) = group {
        migration.objective_group.get_or_insert_with(|| group.to_owned());
    }
    if let Some(spec) = object.get("spec") {
        migration.note_others(spec, &format!("{title}: spec"), &["priority", "poolRef"]);
    }
}
