//! The EndpointPickerConfig, as far as the plugin's own reader takes it.

use serde_json::{Value, json};
use wire::config::PluginConfig;

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
/// `title`, and so what is taken and has no effect.
pub(super) fn carried(migration: &mut Migration, config: &Value, title: &str) -> Option<Value> {
    let mut config = config.clone();
    if let Some(object) = config.as_object_mut() {
        // Only an object of that kind has metadata, a file does not.
        object.remove("metadata");
    }
    estimate_prefixes(migration, &mut config, title);
    for _ in 0..FAULTS_MAX {
        let noted = wire::config::parse_noted(config.to_string().as_bytes());
        match noted.read {
            Ok(read) => {
                for note in noted.notes {
                    migration.note(format!("{title}: {note}"));
                }
                require_way(migration, &read, title);
                return Some(config);
            }
            Err(refused) => {
                // One at a time: to leave out an item of a list changes the paths behind it.
                let Some(fault) = refused.faults().first() else { break };
                migration.note(format!("{title}: {}", shortened(&fault.to_string())));
                let Some(removed) = leave_out(&mut config, &fault.path) else { break };
                if let Some(lost) = parameters(&removed) {
                    migration.note(format!("{title}: {lost} go with it"));
                }
            }
        }
    }
    migration.note(format!("{title}: not carried over as a whole"));
    None
}

/// Returns a fault without the list of all plugin types, of which no line of a list is the place.
fn shortened(fault: &str) -> &str {
    const NAMES_MAX: usize = 20;
    match fault.split_once("; allowed: ") {
        Some((rule, names)) if names.split(", ").count() > NAMES_MAX => rule,
        Some(_) | None => fault,
    }
}

/// Has prefixes scored by what endpoints were sent where the EPP goes by the engines' KV events. Without,
/// a configuration would lose its heaviest scorer.
fn estimate_prefixes(migration: &mut Migration, config: &mut Value, title: &str) {
    const PRECISE: &str = "precise-prefix-cache-scorer";
    let plugins = config.get_mut("plugins").and_then(Value::as_array_mut);
    for plugin in plugins.into_iter().flatten().filter_map(Value::as_object_mut) {
        if plugin.get("type").and_then(Value::as_str) != Some(PRECISE) {
            continue;
        }
        plugin.entry("name").or_insert_with(|| json!(PRECISE));
        plugin.insert("type".to_owned(), json!("prefix-cache-scorer"));
        let lost = parameters(&Value::Object(plugin.clone()));
        let lost = lost.map(|lost| format!("; {lost} have no place")).unwrap_or_default();
        plugin.remove("parameters");
        migration.note(format!(
            "{title}: {PRECISE}: prefix-cache-scorer in its place, which knows what an endpoint has \
             cached by what it was sent, and not by KV events{lost}"
        ));
    }
}

/// Chooses a way into Envoy by which the filter can write headers, if the configuration needs one.
fn require_way(migration: &mut Migration, read: &PluginConfig, title: &str) {
    let PluginConfig::Picker(picker) = read else { return };
    if !picker.pools.iter().any(|pool| pool.scheduler.scheduling.sets_headers()) {
        return;
    }
    migration.picker.insert("way".to_owned(), json!("envoyFilter"));
    migration.note(format!(
        "{title}: its profile handler sets headers, so picker.way is envoyFilter: no other way into \
         Envoy can"
    ));
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

/// Names a plugin's parameters, if it has any.
fn parameters(plugin: &Value) -> Option<String> {
    let parameters = plugin.get("parameters")?.as_object()?;
    let names: Vec<&str> = parameters.keys().map(String::as_str).collect();
    (!names.is_empty()).then(|| format!("its parameters {}", names.join(", ")))
}

/// Removes the part at `path` and returns it, if there is one: a parameter or a field by itself, a list's
/// item whole.
fn leave_out(config: &mut Value, path: &str) -> Option<Value> {
    let mut steps = steps(path);
    let parameter = steps.iter().any(|step| matches!(step, Step::Key(key) if key == "parameters"));
    let item = steps.iter().rposition(|step| matches!(step, Step::Index(_)));
    if let (Some(item), false) = (item, parameter) {
        steps.truncate(item + 1);
    }
    // What refers to a plugin that is gone means nothing without the reference.
    if steps.len() > 1 && matches!(steps.last(), Some(Step::Key(key)) if key == "pluginRef") {
        steps.pop();
    }
    let removed = take(config, &steps)?;
    // Profiles must not refer to a plugin that is gone.
    if matches!(steps.first(), Some(Step::Key(key)) if key == "plugins") && steps.len() == 2 {
        drop_references(config, &removed);
    }
    Some(removed)
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
