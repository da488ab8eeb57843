//! HTTPRoutes, and the gateways that they name.

use serde_json::{Value, json};

use super::{Migration, text, title};

/// Reads the gateways of a route, and tells which of its backends have to become others.
pub(super) fn read(migration: &mut Migration, object: &Value) {
    let title = title(object);
    let namespace = text(object, "/metadata/namespace");
    if let Some(spec) = object.get("spec") {
        read_spec(migration, &title, namespace, spec);
    }
}

/// Reads a route's `spec`, which an LLMInferenceService may have in it.
pub(super) fn read_spec(
    migration: &mut Migration,
    title: &str,
    namespace: Option<&str>,
    spec: &Value,
) {
    let parents = spec.get("parentRefs").and_then(Value::as_array);
    for parent in parents.into_iter().flatten() {
        read_gateway(migration, title, namespace, parent);
    }
    let rules = spec.get("rules").and_then(Value::as_array);
    for (index, rule) in rules.into_iter().flatten().enumerate() {
        let backends = rule.get("backendRefs").and_then(Value::as_array);
        for backend in backends.into_iter().flatten() {
            if text(backend, "/kind") == Some("InferencePool") {
                let pool = text(backend, "/name").unwrap_or("without a name");
                migration.note(format!(
                    "{title}: spec.rules[{index}].backendRefs: name the model's Service in the place \
                     of InferencePool {pool}, else the gateway goes on asking the EPP"
                ));
            }
        }
    }
}

/// Reads a reference to a gateway, of which the chart's values name one.
pub(super) fn read_gateway(
    migration: &mut Migration,
    title: &str,
    namespace: Option<&str>,
    reference: &Value,
) {
    if text(reference, "/kind").is_some_and(|kind| kind != "Gateway") {
        return;
    }
    let Some(name) = text(reference, "/name") else { return };
    let namespace = text(reference, "/namespace").or(namespace);
    let gateway = match namespace {
        Some(namespace) => json!({"name": name, "namespace": namespace}),
        None => json!({"name": name}),
    };
    let Value::Object(gateway) = gateway else { return };
    if migration.gateway.is_empty() {
        migration.gateway = gateway;
    } else if migration.gateway != gateway {
        let place = namespace.map_or_else(String::new, |namespace| format!("{namespace}/"));
        migration.note(format!(
            "{title}: Gateway {place}{name}: a release has one gateway, and another has come first"
        ));
    }
}
