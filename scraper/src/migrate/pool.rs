//! InferencePools, InferenceObjectives and InferenceModelRewrites.

use serde_json::{Value, json};

use super::{Migration, text, title};

/// Reads the selection of pods, and the behaviour without a picker.
pub(super) fn read_pool(migration: &mut Migration, object: &Value) {
    let title = title(object);
    let ports = object.pointer("/spec/targetPorts").and_then(Value::as_array);
    let name = text(object, "/metadata/name").unwrap_or_default();
    let values = &mut migration.models.for_pool(name).values;
    if values.get("kind").is_none() {
        values.insert("inferencePool".to_owned(), json!({"create": false, "name": name}));
        values.entry("name").or_insert_with(|| json!(name));
        if let Some(labels) = object.pointer("/spec/selector/matchLabels") {
            values.insert("podLabels".to_owned(), labels.clone());
        }
    }
    if let Some(namespace) = text(object, "/metadata/namespace") {
        values.insert("namespace".to_owned(), json!(namespace));
    }
    if let Some(port) = ports.and_then(|ports| ports.first()?.get("number")) {
        values.insert("port".to_owned(), port.clone());
    }
    if ports.is_some_and(|ports| ports.len() > 1) {
        migration.note(format!("{title}: spec.targetPorts: the scraper takes all of them, the chart's Service only the first"));
    }
    if let Some(mode) = text(object, "/spec/endpointPickerRef/failureMode") {
        let first = migration.picker.entry("failureMode").or_insert_with(|| json!(mode));
        if first != mode {
            migration.note(format!(
                "{title}: spec.endpointPickerRef.failureMode: {mode}; it is one for all models, and another has come first"
            ));
        }
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

/// Reads the priority of an objective's requests.
pub(super) fn read_objective(migration: &mut Migration, object: &Value) {
    let title = title(object);
    let Some(name) = text(object, "/metadata/name") else {
        return migration.note(format!("{title}: not carried over"));
    };
    let priority = object.pointer("/spec/priority").cloned().unwrap_or_else(|| json!(0));
    let objective = json!({"name": name, "priority": priority});
    let same = migration.objectives.iter().find(|it| it.get("name") == objective.get("name"));
    match same {
        None => migration.objectives.push(objective),
        Some(first) if *first == objective => (),
        Some(_) => migration.note(format!(
            "{title}: spec.priority: {priority}; one of this name has come first, and objectives are the same for all models"
        )),
    }
    let group = text(object, "/apiVersion").and_then(|version| version.split_once('/'));
    if let Some((group, _)) = group {
        migration.objective_group.get_or_insert_with(|| group.to_owned());
    }
    migration.note(
        "objectives: those of the input are in the cluster, and helm refuses what it has not made: \
         helm install --take-ownership"
            .to_owned(),
    );
    if let Some(spec) = object.get("spec") {
        migration.note_others(spec, &format!("{title}: spec"), &["priority", "poolRef"]);
    }
}

/// Reads an InferenceModelRewrite, which the scraper follows where it is.
pub(super) fn read_rewrite(migration: &mut Migration, object: &Value) {
    let title = title(object);
    let pool = text(object, "/spec/poolRef/name").unwrap_or("its InferencePool");
    migration.note(format!(
        "{title}: stays where it is, as the scraper follows the rewrites of the InferencePool that it \
         watches: if that is not {pool}, change spec.poolRef"
    ));
    let rules = object.pointer("/spec/rules").cloned();
    let name = text(object, "/metadata/name").unwrap_or("rewrite");
    if let Some(rules) = rules {
        migration.rewrites.push(json!({"name": name, "rules": rules}));
    }
    if let Some(spec) = object.get("spec") {
        migration.note_others(spec, &format!("{title}: spec"), &["rules", "poolRef"]);
    }
}
