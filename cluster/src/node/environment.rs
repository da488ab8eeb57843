//! The environment of a container, and the `$(NAME)` of its arguments.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{items, text, volumes::Source};
use crate::control_plane::{API_PORT, HOST};

/// CPUs that a container without a limit is told to have.
const CPUS: &str = "2";

/// Names and values of a container's environment.
pub(super) type Environment = BTreeMap<String, String>;

/// Returns the environment of a container of the pod.
///
/// # Errors
/// If a Secret or a ConfigMap that it needs is not there, as a kubelet says.
pub(super) async fn of(container: &Value, pod: &Value, source: &Source<'_>) -> Result<Environment> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut environment = Environment::from([
        ("PATH".to_owned(), path),
        ("HOSTNAME".to_owned(), text(pod, "/metadata/name").to_owned()),
        ("KUBERNETES_SERVICE_HOST".to_owned(), HOST.to_owned()),
        ("KUBERNETES_SERVICE_PORT".to_owned(), API_PORT.to_owned()),
    ]);
    for entry in items(container, "/env") {
        let name = text(entry, "/name");
        let value = match entry.get("valueFrom") {
            None => Some(expand(text(entry, "/value"), &environment)),
            Some(from) => {
                looked_up(from, container, pod, source).await.with_context(|| name.to_owned())?
            }
        };
        if let Some(value) = value {
            environment.insert(name.to_owned(), value);
        }
    }
    Ok(environment)
}

async fn looked_up(
    from: &Value,
    container: &Value,
    pod: &Value,
    source: &Source<'_>,
) -> Result<Option<String>> {
    if let Some(field) = from.get("fieldRef") {
        return Ok(Some(source.field(pod, text(field, "/fieldPath"))));
    }
    if let Some(resource) = from.get("resourceFieldRef") {
        return Ok(Some(limit(container, text(resource, "/resource"))));
    }
    for (key, kind) in [("secretKeyRef", "secrets"), ("configMapKeyRef", "configmaps")] {
        if let Some(wanted) = from.get(key) {
            let data = source.data(kind, text(wanted, "/name")).await?;
            let value = data.and_then(|data| data.get(text(wanted, "/key")).cloned());
            let is_optional = wanted.get("optional").is_some_and(|it| it == true);
            anyhow::ensure!(value.is_some() || is_optional, "{kind} has no {wanted}");
            return Ok(value.map(|value| String::from_utf8_lossy(&value).into_owned()));
        }
    }
    anyhow::bail!(
        "valueFrom: found {from}; allowed: fieldRef, resourceFieldRef, secretKeyRef, configMapKeyRef"
    )
}

/// Returns a container's limit in whole CPUs or bytes, as Istio's gateways ask for it.
fn limit(container: &Value, resource: &str) -> String {
    let name = resource.trim_start_matches("limits.");
    let found = text(container, &format!("/resources/limits/{name}"));
    if name == "cpu" {
        return if found.is_empty() || found.ends_with('m') { CPUS } else { found }.to_owned();
    }
    for (unit, bytes) in [("Ki", 1_u64 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30)] {
        if let Some(count) = found.strip_suffix(unit).and_then(|it| it.parse::<u64>().ok()) {
            return count.saturating_mul(bytes).to_string();
        }
    }
    (1_u64 << 30).to_string()
}

/// Replaces each `$(NAME)` that the environment has.
pub(super) fn expand(text: &str, environment: &Environment) -> String {
    let mut result = text.to_owned();
    for (name, value) in environment {
        result = result.replace(&format!("$({name})"), value);
    }
    result
}
