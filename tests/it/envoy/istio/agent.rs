//! What the agent in the gateway's pod does before Envoy gets its configuration, and what a loopback wants otherwise.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use serde_json::{Value, json};
use stack::Template;

use super::{manifests::text, pilot::Gateway};

/// The listener of the manifests that takes snapshots.
const INGEST: &str = "llm-picker-ingest";

/// The gateway's configuration as a template that the stack can start.
pub(super) fn template(gateway: &Gateway) -> Template {
    let mut bootstrap = gateway.bootstrap.clone();
    for listener in bootstrap["static_resources"]["listeners"].as_array_mut().unwrap() {
        on_loopback(listener);
    }
    discover_from_files(&mut bootstrap);
    let files = gateway.extensions.iter().map(|extension| {
        let mut extension = extension.clone();
        fetched(&mut extension);
        extension["@type"] = json!("type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig");
        (file(text(&extension, "/name")), print(&json!({"resources": [extension]})))
    });
    Template { bootstrap: print(&bootstrap), files: files.collect() }
}

/// The file that has the extension of this name.
pub(super) fn file(extension: &str) -> String {
    format!("{}.yaml", extension.rsplit('/').next().unwrap_or_default())
}

/// The agent fetches a module and puts a file in its place.
fn fetched(extension: &mut Value) {
    let vm = &mut extension["typed_config"]["config"]["vm_config"];
    let uri = text(vm, "/code/remote/http_uri/uri");
    assert!(["oci://", "http://"].iter().any(|scheme| uri.starts_with(scheme)), "{uri}");
    vm["code"] = json!({"local": {"filename": "${WASM}"}});
}

/// The ingest listener gets a free port, and the names by which the stack asks for it.
fn on_loopback(listener: &mut Value) {
    if listener["name"] != INGEST {
        return;
    }
    listener["name"] = json!("ingest");
    listener["stat_prefix"] = json!("ingest");
    listener["filter_chains"][0]["filters"][0]["typed_config"]["stat_prefix"] = json!("ingest");
    listener["address"]["socket_address"] =
        json!({"address": "127.0.0.1", "port_value": "${INGEST_PORT}"});
}

/// In the place of istiod's stream there is a file for each extension.
fn discover_from_files(value: &mut Value) {
    if let Some(discovery) = value.get("config_discovery") {
        let path = format!("${{DIR}}/{}", file(text(value, "/name")));
        let types = discovery["type_urls"].clone();
        value["config_discovery"] = json!({
            "config_source": {
                "path_config_source": {"path": path},
                "initial_fetch_timeout": "0s",
                "resource_api_version": "V3",
            },
            "type_urls": types,
        });
        return;
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(discover_from_files),
        Value::Object(map) => map.values_mut().for_each(discover_from_files),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (),
    }
}

/// YAML, in which the list of endpoints can be filled in: as a text it would stay one.
fn print(value: &Value) -> String {
    let yaml = serde_saphyr::to_string(value).unwrap();
    yaml.replace("\"${ENDPOINTS}\"", "${ENDPOINTS}").replace("'${ENDPOINTS}'", "${ENDPOINTS}")
}
