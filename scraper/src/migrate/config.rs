//! The EndpointPickerConfig, as far as the plugin's own reader takes it.

use serde_json::Value;

use super::Migration;

/// Faults in one configuration. Each part left out makes it smaller; with more faults than this
/// there is nothing left that is worth carrying over.
const FAULTS_MAX: usize = 64;

/// A step on the way into the configuration.
enum Step {
    Key(String),
    Index(usize),
}

/// Returns as much of `config` as the plugin takes, and lists the rest in the plugin's words, under
/// `title`.
pub(super) fn carried(migration: &mut Migration, config: &Value, title: &str) -> Option<Value> {
    let mut config = config.clone();
    if let Some(object) = config.as_object_mut() {
        // Only an object of that kind has metadata, a file does not.
        object.remove("metadata");
    }
    for _ in 0..FAULTS_MAX {
        match wire::config::parse(config.to_string().as_bytes()) {
            Ok(_) => return Some(config),
            Err(refused) => {
                // One at a time: to leave out an item of a list changes the paths behind it.
                let Some(fault) = refused.faults().first() else { break };
                migration.note(format!("{title}: {fault}"));
                if !leave_out(&mut config, &fault.path) {
                    break;
                }
            }
        }
    }
    migration.note(format!("{title}: not carried over as a whole"));
    None
}

/// Carries over the first configuration of the model that is being read.
pub(super) fn read(migration: &mut Migration, config: &Value, title: &str) {
    if migration.models.current().values.contains_key("config") {
        migration
            .note(format!("{title}: a second EndpointPickerConfig; the first was carried over"));
        return;
    }
    if let Some(config) = carried(migration, config, title) {
        migration.models.current().values.insert("config".to_owned(), config);
    }
}

/// Removes the part at `path`, false if there is none: a parameter or a field by itself, a list's
/// item whole.
fn leave_out(config: &mut Value, path: &str) -> bool {
    let mut steps = steps(path);
    let parameter = steps.iter().any(|step| matches!(step, Step::Key(key) if key == "parameters"));
    let item = steps.iter().rposition(|step| matches!(step, Step::Index(_)));
    if let (Some(item), false) = (item, parameter) {
        steps.truncate(item + 1);
    }
    let Some(removed) = take(config, &steps) else { return false };
    // Profiles must not refer to a plugin that is gone.
    if matches!(steps.first(), Some(Step::Key(key)) if key == "plugins") && steps.len() == 2 {
        drop_references(config, &removed);
    }
    true
}

/// Removes and returns the part at the end of these steps.
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

/// Removes every profile's reference to the plugin.
fn drop_references(config: &mut Value, plugin: &Value) {
    let Some(name) = plugin.get("name").or_else(|| plugin.get("type")) else { return };
    let profiles = config.get_mut("schedulingProfiles").and_then(Value::as_array_mut);
    for profile in profiles.into_iter().flatten() {
        if let Some(plugins) = profile.get_mut("plugins").and_then(Value::as_array_mut) {
            plugins.retain(|entry| entry.get("pluginRef") != Some(name));
        }
    }
}

/// Splits a path such as `a.b[2].c`.
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
