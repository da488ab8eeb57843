//! A plugin whose configuration Envoy discovers in a file of its own, as Istio's WasmPlugin has it discovered over the
//! network: so it can change while Envoy runs.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::tree::{MANAGERS, all_at};

/// Name of the filter with a discovered configuration.
const FILTER: &str = "llm-picker";

/// Name of the file in the stack's folder.
const FILE: &str = "llm-picker.json";

/// Type of what Envoy discovers: the configuration of one extension.
const RESOURCE: &str = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";

/// Place of the plugin's own configuration in a wasm filter's.
const PLUGIN: &str = "/typed_config/config/configuration/value";

/// The filter's configuration, as Envoy reads it from its file.
#[derive(Debug)]
pub(crate) struct Discovered(Value);

/// Returns the bootstrap with a reference to the file in `dir`, and the file's content.
pub(crate) fn discovered(bootstrap: &str, dir: &Path) -> Result<(String, Discovered)> {
    let mut tree: Value =
        serde_saphyr::from_str(bootstrap).context("the bootstrap must be YAML")?;
    let mut found = None;
    for manager in all_at(&mut tree, &MANAGERS) {
        let filters = manager.pointer_mut("/typed_config/http_filters");
        for filter in filters.and_then(Value::as_array_mut).into_iter().flatten() {
            if filter.get("name").and_then(Value::as_str) == Some(FILTER) {
                let of_file = reference(filter, dir)?;
                found = Some(std::mem::replace(filter, of_file));
            }
        }
    }
    let filter = found.context("the bootstrap has no filter llm-picker")?;
    Ok((format!("{tree:#}\n"), Discovered(filter)))
}

/// Returns the filter that stands for `filter` in the bootstrap.
fn reference(filter: &Value, dir: &Path) -> Result<Value> {
    let kind = filter.pointer("/typed_config/@type").context("the filter has no type")?;
    let path = dir.join(FILE).display().to_string();
    let source = json!({"path_config_source": {"path": path}, "resource_api_version": "V3"});
    Ok(json!({"name": FILTER, "config_discovery": {"config_source": source, "type_urls": [kind]}}))
}

impl Discovered {
    /// Reads what was last written to `dir`.
    ///
    /// # Errors
    /// Where nothing was: the bootstrap holds the configuration itself.
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let file = dir.join(FILE);
        let text = fs::read_to_string(&file).context("the stack was not built reloadable")?;
        let mut resources: Value = serde_json::from_str(&text)?;
        let filter = resources.pointer_mut("/resources/0").map(Value::take);
        Ok(Self(filter.context("the file holds no filter")?))
    }

    /// Returns the filter with this configuration of the plugin.
    pub(crate) fn with_plugin(mut self, plugin: &Value) -> Result<Self> {
        let place = self.0.pointer_mut(PLUGIN).context("the filter has no configuration")?;
        *place = Value::from(plugin.to_string());
        Ok(self)
    }

    /// Writes the file into `dir`. Envoy sees that another file has come to its place, and not that one is written to.
    pub(crate) fn write(mut self, dir: &Path) -> Result<()> {
        let object = self.0.as_object_mut().context("the filter must be an object")?;
        object.insert("@type".to_owned(), RESOURCE.into());
        let next = dir.join(format!("{FILE}.next"));
        fs::write(&next, json!({"resources": [self.0]}).to_string())?;
        Ok(fs::rename(&next, dir.join(FILE))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOTSTRAP: &str = include_str!("../../../envoy/local/stop-iteration-header.yaml");

    #[test]
    fn the_plugin_moves_into_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let (bootstrap, filter) = discovered(BOOTSTRAP, dir.path()).unwrap();
        assert!(!bootstrap.contains("${PLUGIN_JSON}") && bootstrap.contains("${INGEST_JSON}"));
        assert!(bootstrap.contains("config_discovery"));
        filter.write(dir.path()).unwrap();
        let again = Discovered::read(dir.path()).unwrap().with_plugin(&json!({"a": 1})).unwrap();
        again.write(dir.path()).unwrap();
        let text = fs::read_to_string(dir.path().join(FILE)).unwrap();
        assert!(text.contains(r#""value":"{\"a\":1}""#), "{text}");
        assert!(text.contains(RESOURCE), "{text}");
    }

    #[test]
    fn a_stack_that_does_not_reload_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let error = Discovered::read(dir.path()).unwrap_err();
        insta::assert_snapshot!(error, @"the stack was not built reloadable");
    }
}
