//! The filter's configuration by discovery (ECDS), from a file: so it can change while Envoy runs, as Istio's does.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs, path::Path};

use serde_json::{Value, json};
use stack::{Programs, Stack, Template};

use crate::envoy::world::until;

/// What the filter is called, and the file that Envoy watches.
const FILTER: &str = "- name: llm-picker\n";
const FILE: &str = "llm-picker.yaml";

const BOOTSTRAP: &str = include_str!("../../../../envoy/local/stop-iteration-header.yaml");

/// The bootstrap with a first listener once more, under another name and with a plugin instance of its own.
pub(super) fn with_a_second_gateway() -> Template {
    let (begin, end) = ("  - name: gateway\n", "\n  # The scraper's snapshots");
    let (before, rest) = BOOTSTRAP.split_once(begin).unwrap();
    let (listener, after) = rest.split_once(end).unwrap();
    let second = format!("{begin}{listener}")
        .replace("gateway", "second")
        .replace("${GATEWAY_PORT}", "0")
        .replace("name: llm-picker\n", "name: llm-picker-second\n")
        .replace("root_id: llm-picker\n", "root_id: llm-picker-second\n");
    let bootstrap = format!("{before}{second}\n{begin}{listener}{end}{after}");
    Template { bootstrap, files: Vec::new() }
}

/// The bootstrap that looks into a file for the filter's configuration.
pub(super) fn discovered() -> Template {
    let (before, _, after) = parts();
    let source =
        format!("path_config_source: {{path: \"${{DIR}}/{FILE}\"}}, resource_api_version: V3");
    let kind = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
    let discovery =
        format!("config_discovery: {{config_source: {{{source}}}, type_urls: [{kind}]}}");
    let bootstrap = format!("{before}{FILTER}            {discovery}\n{after}");
    Template { bootstrap, files: vec![(FILE.to_owned(), resource())] }
}

/// Envoy takes this configuration of the plugin on every worker.
pub(super) async fn reconfigure(stack: &Stack, mut plugin: Value) {
    let before = taken(stack).await;
    let settings = json!({"hold": "stopIteration", "destination": "header"});
    plugin.as_object_mut().unwrap().insert("envoy".to_owned(), settings);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let wasm = Programs::built_in(root).unwrap().wasm().display().to_string();
    let json = Value::from(plugin.to_string()).to_string();
    let text = resource().replace("${WASM}", &wasm).replace("${PLUGIN_JSON}", &json);
    // Envoy notices files that are moved there, not ones that are written to.
    let (new, file) = (stack.dir().join("new"), stack.dir().join(FILE));
    fs::write(&new, text).unwrap();
    fs::rename(&new, &file).unwrap();
    until(async || (taken(stack).await > before).then_some(())).await;
}

/// How often it took one.
async fn taken(stack: &Stack) -> u64 {
    let stats = stack.stats("extension_config_discovery.*llm-picker.config_reload$").await.unwrap();
    stats.trim().rsplit(' ').next().unwrap().parse().unwrap()
}

/// What is before the filter's configuration, that, and what is after it.
fn parts() -> (&'static str, &'static str, &'static str) {
    let (before, rest) = BOOTSTRAP.split_once(FILTER).unwrap();
    let end = rest.find("          - name: ").unwrap();
    let (config, after) = rest.split_at(end);
    (before, config, after)
}

/// The extension's configuration as it is discovered.
fn resource() -> String {
    let (_, config, _) = parts();
    let config: String =
        config.lines().map(|line| format!("{}\n", line.get(10..).unwrap_or_default())).collect();
    let kind = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";
    format!("resources:\n- \"@type\": {kind}\n  name: llm-picker\n{config}")
}
