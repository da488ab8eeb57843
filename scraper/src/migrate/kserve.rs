//! KServe's LLMInferenceService.

use serde_json::{Value, json};

use super::{Migration, config, epp, models::ConfigReference, text, title};

/// Reads the model and the settings of its scheduler.
pub(super) fn read(migration: &mut Migration, object: &Value) {
    let title = title(object);
    let name = text(object, "/metadata/name").unwrap_or_default();
    let own = format!("{name}-inference-pool");
    let pool = text(object, "/spec/router/scheduler/pool/ref/name");
    let values = &mut migration.models.for_pool(pool.unwrap_or(&own)).values;
    values.insert("kind".to_owned(), json!("llmInferenceService"));
    for key in ["name", "namespace"] {
        if let Some(value) = text(object, &format!("/metadata/{key}")) {
            values.insert(key.to_owned(), json!(value));
        }
    }
    match pool {
        Some(pool) => {
            values.insert("inferencePool".to_owned(), json!({"create": false, "name": pool}));
        }
        // Without a scheduler KServe makes none.
        None => drop(values.remove("inferencePool")),
    }
    values.remove("podLabels");
    if object.pointer("/spec/prefill").is_some() {
        migration.note(format!(
            "{title}: spec.prefill: look whether the configuration has a profile for each role"
        ));
    }
    let Some(scheduler) = object.pointer("/spec/router/scheduler") else {
        return migration.note(format!(
            "{title}: it has no spec.router.scheduler, so there is no EPP's configuration in it"
        ));
    };
    migration.note(format!(
        "{title}: remove spec.router.scheduler, else KServe's EPP goes on beside the picker"
    ));
    if let Some(inline) = scheduler.pointer("/config/inline") {
        config::read(migration, inline, &title);
    }
    if let Some(name) = text(scheduler, "/config/ref/name") {
        let key = text(scheduler, "/config/ref/key").unwrap_or(name).to_owned();
        let reference = ConfigReference { maps: vec![name.to_owned()], key };
        migration.models.current().config = Some(reference);
    }
    read_template(migration, scheduler, &title);
    if scheduler.pointer("/pool/spec").is_some() {
        migration.note(format!(
            "{title}: spec.router.scheduler.pool.spec: without a scheduler KServe makes no \
             InferencePool; the chart makes one over its pods"
        ));
    }
    migration.note_others(
        scheduler,
        &format!("{title}: spec.router.scheduler"),
        &["config", "pool", "template"],
    );
}

/// Reads the EPP's own arguments, which take precedence over those that KServe would set.
fn read_template(migration: &mut Migration, scheduler: &Value, title: &str) {
    let containers = scheduler.pointer("/template/containers").and_then(Value::as_array);
    for container in containers.into_iter().flatten() {
        let arguments = container.get("args").and_then(Value::as_array);
        let arguments: Vec<String> =
            arguments.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        epp::read_arguments(migration, title, &arguments, Vec::new());
        let path = format!("{title}: spec.router.scheduler.template container");
        migration.note_others(container, &path, &["name", "image", "args"]);
    }
}
