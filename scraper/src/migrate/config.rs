//! The EndpointPickerConfig: what the plugin's own reader takes of it.

use serde_json::Value;

use super::Migration;

/// Each part left out makes it smaller; a configuration with more faults than this is none.
const FAULTS_MAX: usize = 64;

/// A step on the way into the configuration.
enum Step {
    Key(String),
    Index(usize),
}

/// As much of `config` as the plugin takes; lists the rest in its words.
pub(super) fn carried(migration: &mut Migration, config: &Value, of: &str) -> Option<Value> {
    let mut config = config.clone();
    if let Some(object) = config.as_object_mut() {
        // A file has none; an object of that kind brings it.
        object.remove("metadata");
    }
    for _ in 0..FAULTS_MAX {
        match wire::config::parse(config.to_string().as_bytes()) {
            Ok(_) => return Some(config),
            Err(error) => {
                migration.note(format!("{of}: {error}"));
                if !leave_out(&mut config, &error.path) {
                    break;
                }
            }
        }
    }
    migration.note(format!("{of}: not carried over as a whole"));
    None
}

/// Carries over the configuration of the model that is being read, its first one.
pub(super) fn read(migration: &mut Migration, config: &Value, of: &str) {
    if migration.models.current().values.contains_key("config") {
        migration.note(format!("{of}: a second EndpointPickerConfig; the first was carried over"));
        return;
    }
    if let Some(config) = carried(migration, config, of) {
        migration.models.current().values.insert("config".to_owned(), config);
    }
}

/// Takes out what is at `path`: a parameter or a field by itself, a list's item whole.
fn leave_out(config: &mut Value, path: &str) -> bool {
    let mut steps = steps(path);
    let parameter = steps.iter().any(|step| matches!(step, Step::Key(key) if key == "parameters"));
    let item = steps.iter().rposition(|step| matches!(step, Step::Index(_)));
    if let (Some(item), false) = (item, parameter) {
        steps.truncate(item + 1);
    }
    let Some(removed) = take(config, &steps) else { return false };
    // A plugin that is gone is named no more.
    if matches!(steps.first(), Some(Step::Key(key)) if key == "plugins") && steps.len() == 2 {
        drop_references(config, &removed);
    }
    true
}

/// Takes out what is at the end of these steps.
fn take(config: &mut Value, steps: &[Step]) -> Option<Value> {
    let (last, way) = steps.split_last()?;
    let mut parent = config;
    for step in way {
        parent = match step {
            Step::Key(key) => parent.get_mut(key.as_str())?,
            Step::Index(index) => parent.get_mut(*index)?,
        };
    }
    match (parent, last) {
        (Value::Object(object), Step::Key(key)) => object.remove(key),
        (Value::Array(items), Step::Index(index)) if *index < items.len() => {
            Some(items.remove(*index))
        }
        _ => None,
    }
}

/// Takes every profile's mention of the plugin out.
fn drop_references(config: &mut Value, plugin: &Value) {
    let Some(name) = plugin.get("name").or_else(|| plugin.get("type")) else { return };
    let profiles = config.get_mut("schedulingProfiles").and_then(Value::as_array_mut);
    for profile in profiles.into_iter().flatten() {
        if let Some(plugins) = profile.get_mut("plugins").and_then(Value::as_array_mut) {
            plugins.retain(|entry| entry.get("pluginRef") != Some(name));
        }
    }
}

/// `a.b[2].c` in steps.
fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in path.split(['.', '[']).filter(|part| !part.is_empty()) {
        match part.strip_suffix(']').and_then(|index| index.parse().ok()) {
            Some(index) => steps.push(Step::Index(index)),
            None => steps.push(Step::Key(part.to_owned())),
        }
    }
    steps
}
