//! KServe's LLMInferenceService.

use serde_json::{Value, json};

use super::{Migration, config, epp, models::ConfigReference, route, text, title};

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
    read_router(migration, object, &title);
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

/// Reads the gateways and routes of the model.
fn read_router(migration: &mut Migration, object: &Value, title: &str) {
    let Some(router) = object.pointer("/spec/router") else { return };
    let namespace = text(object, "/metadata/namespace");
    let gateways = router.pointer("/gateway/refs").and_then(Value::as_array);
    for gateway in gateways.into_iter().flatten() {
        route::read_gateway(migration, title, namespace, gateway);
    }
    if let Some(spec) = router.pointer("/route/http/spec") {
        route::read_spec(migration, title, namespace, spec);
    }
    let routes = router.pointer("/route/http/refs").and_then(Value::as_array);
    for route in routes.into_iter().flatten() {
        let name = text(route, "/name").unwrap_or("without a name");
        migration.note(format!(
            "{title}: spec.router.route.http.refs: HTTPRoute {name}: give it too, or let it name the \
             model's Service"
        ));
    }
    let others = [("/ingress", "ingress"), ("/route/grpc", "route.grpc")];
    for (_, key) in others.into_iter().filter(|(pointer, _)| router.pointer(pointer).is_some()) {
        migration.note(format!("{title}: spec.router.{key}: not carried over"));
    }
}

/// Reads the EPP's own arguments, which take precedence over those that KServe would set.
fn read_template(migration: &mut Migration, scheduler: &Value, title: &str) {
    let containers = scheduler.pointer("/template/containers").and_then(Value::as_array);
    for container in containers.into_iter().flatten() {
        let name = text(container, "/name").unwrap_or("main");
        let path = format!("{title}: spec.router.scheduler.template container");
        // KServe's scheduler is the container of that name; others stand beside it.
        if name != "main" {
            migration.note(format!("{path} {name}: not carried over"));
            continue;
        }
        epp::read_arguments(migration, title, &epp::arguments(container), Vec::new());
        migration.note_others(container, &path, &["name", "image", "command", "args"]);
    }
}
