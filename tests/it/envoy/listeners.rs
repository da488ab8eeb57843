//! Listeners that come by discovery (LDS), from a file: so all of them can change while Envoy runs.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use stack::{Programs, Stack, Template};

use super::world;

const BOOTSTRAP: &str = include_str!("../../../envoy/local/stop-iteration-header.yaml");

/// File with the listeners, which Envoy watches.
const FILE: &str = "listeners.yaml";

/// Route of another team, before the models' own.
const OTHER: &str = "              - match: {prefix: /team-b}\n                direct_response: {status: 200, body: {inline_string: \"team b\"}}\n";

/// Route that another team adds later.
pub(super) const LATER: &str = "              - match: {prefix: /team-c}\n                direct_response: {status: 200, body: {inline_string: \"team c\"}}\n";

/// The bootstrap with its listeners in a file, and this text as the picker's configuration.
pub(super) fn discovered(plugin: &str) -> Template {
    let (before, listeners, after) = parts();
    let source = format!("{{path: \"${{DIR}}/{FILE}\"}}");
    let lds = format!("{{path_config_source: {source}, resource_api_version: V3}}");
    let bootstrap =
        format!("{before}static_resources:\n{after}\ndynamic_resources: {{lds_config: {lds}}}\n");
    Template { bootstrap, files: vec![(FILE.to_owned(), file(listeners, plugin, ""))] }
}

/// The bootstrap up to its resources, its listeners, and its clusters.
fn parts() -> (&'static str, &'static str, &'static str) {
    let (before, rest) = BOOTSTRAP.split_once("static_resources:\n  listeners:\n").unwrap();
    let at = rest.find("  clusters:\n").unwrap();
    let (listeners, after) = rest.split_at(at);
    (before, listeners, after)
}

/// The resources that Envoy discovers.
fn file(listeners: &str, plugin: &str, more_routes: &str) -> String {
    let kind = "type.googleapis.com/envoy.config.listener.v3.Listener";
    let models = "              - match: {prefix: /}\n                route:\n";
    let routes = format!("{OTHER}{more_routes}{models}");
    let text = listeners
        .replacen("${PLUGIN_JSON}", &Value::from(plugin).to_string(), 1)
        .replacen(models, &routes, 1);
    let line = |line: &str| match line.strip_prefix("  - name: ") {
        Some(name) => format!("- \"@type\": {kind}\n  name: {name}\n"),
        None => format!("{}\n", line.strip_prefix("  ").unwrap_or(line)),
    };
    format!("resources:\n{}", text.lines().map(line).collect::<String>())
}

/// Listeners that Envoy is to have.
pub(super) struct Listeners {
    plugin: String,
    more_routes: &'static str,
    wasm: PathBuf,
}

impl Listeners {
    /// With this text as the picker's configuration.
    pub(super) fn with(plugin: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let wasm = Programs::built_in(root).unwrap().wasm().to_owned();
        Self { plugin: plugin.to_owned(), more_routes: "", wasm }
    }

    /// With these routes too.
    pub(super) fn routes(self, more_routes: &'static str) -> Self {
        Self { more_routes, ..self }
    }

    /// With this module in picker and ingest.
    pub(super) fn module(self, wasm: &Path) -> Self {
        Self { wasm: wasm.to_owned(), ..self }
    }

    /// Has Envoy take them, and waits until they serve.
    pub(super) async fn update(self, stack: &Stack) {
        let before = count(stack, "listener_manager.lds.update_success").await;
        let (_, listeners, _) = parts();
        let text = file(listeners, &self.plugin, self.more_routes)
            .replace("${WASM}", &self.wasm.display().to_string())
            .replace("${GATEWAY_PORT}", "0")
            .replace("${INGEST_PORT}", "0")
            .replace("${INGEST_JSON}", &Value::from(r#"{"ingest": {}}"#).to_string());
        // Envoy notices files that are moved there, not ones that are written to.
        let (new, file) = (stack.dir().join("new"), stack.dir().join(FILE));
        fs::write(&new, text).unwrap();
        fs::rename(new, file).unwrap();
        world::until(async || {
            let now = count(stack, "listener_manager.lds.update_success").await;
            (now > before).then_some(())
        })
        .await;
        world::until(async || {
            let warming = count(stack, "listener_manager.total_listeners_warming").await;
            (warming == 0).then_some(())
        })
        .await;
    }
}

/// A counter or a gauge of Envoy's, 0 while it has none.
pub(super) async fn count(stack: &Stack, name: &str) -> u64 {
    let stats = stack.stats(&format!("{name}$")).await.unwrap();
    stats.lines().next().and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}
