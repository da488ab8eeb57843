//! The EPP's Deployment and the ConfigMap beside it.

use serde_json::{Value, json};

use super::{Migration, UnassignedConfig, config, models::ConfigReference, text, title};

/// Arguments of the EPP that llm-picker has no use for, each with the reason.
const UNUSED: [(&str, &str); 9] = [
    ("pool-group", "the scraper looks in both groups"),
    ("grpc-port", "there is no ext_proc server"),
    ("grpc-health-port", "there is no ext_proc server"),
    ("secure-serving", "there is no ext_proc server"),
    ("cert-path", "there is no ext_proc server"),
    ("zap-encoder", "logs are Envoy's and the scraper's"),
    ("metrics-port", "metrics are Envoy's own and the scraper's"),
    ("tracing", "traces are Envoy's"),
    ("v", "set RUST_LOG for the scraper, the wasm component's level for Envoy"),
];

/// Arguments that are carried over, without hyphens: older EPPs wrote them so.
const READ: [&str; 4] = ["configtext", "configfile", "poolname", "poolnamespace"];

/// Reads the arguments of the first container of an EPP's Deployment.
pub(super) fn read_deployment(migration: &mut Migration, object: &Value) {
    let title = title(object);
    let containers = "/spec/template/spec/containers";
    let Some(container) = object.pointer(&format!("{containers}/0")) else {
        return migration.note(format!("{title}: it has no containers"));
    };
    let strings = |key: &str| -> Vec<String> {
        let list = container.get(key).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let arguments: Vec<String> =
        strings("command").into_iter().skip(1).chain(strings("args")).collect();
    let volumes = object.pointer("/spec/template/spec/volumes").and_then(Value::as_array);
    let maps = volumes.into_iter().flatten().filter_map(|it| text(it, "/configMap/name"));
    read_arguments(migration, &title, &arguments, maps.map(str::to_owned).collect());
    if object.pointer(containers).and_then(Value::as_array).is_some_and(|all| all.len() > 1) {
        migration.note(format!("{title}: containers beside the first: not carried over"));
    }
    migration.note_others(
        container,
        &format!("{title}: container"),
        &[
            "name",
            "image",
            "command",
            "args",
            "ports",
            "livenessProbe",
            "readinessProbe",
            "securityContext",
            "imagePullPolicy",
            "terminationMessagePath",
            "terminationMessagePolicy",
        ],
    );
}

/// Reads the arguments of an EPP that mounts the ConfigMaps `maps`. Notes begin with `title`.
pub(super) fn read_arguments(
    migration: &mut Migration,
    title: &str,
    arguments: &[String],
    maps: Vec<String>,
) {
    let flags = flags(migration, title, arguments);
    // The pool comes first: it says which model the other arguments are of.
    let pool = flags.iter().find(|(name, value)| name == "poolname" && is_known(value));
    if let Some((_, pool)) = pool {
        let values = &mut migration.models.for_pool(pool).values;
        let none = || json!({"create": false, "name": pool});
        values.entry("inferencePool").or_insert_with(none);
    }
    for (name, value) in flags {
        read_flag(migration, title, &Flag { name: &name, value: &value }, &maps);
    }
}

/// Returns names and values; the names of [`READ`] are without hyphens.
fn flags(migration: &mut Migration, title: &str, arguments: &[String]) -> Vec<(String, String)> {
    let mut flags = Vec::new();
    let mut rest = arguments.iter().map(String::as_str).peekable();
    while let Some(argument) = rest.next() {
        let Some(flag) = argument.strip_prefix('-').map(|flag| flag.trim_start_matches('-')) else {
            migration.note(format!("{title}: argument {argument:?}: not carried over"));
            continue;
        };
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (flag, rest.next_if(|next| !next.starts_with('-'))),
        };
        let plain = name.replace('-', "");
        let name = if READ.contains(&&*plain) { plain } else { name.to_owned() };
        flags.push((name, value.unwrap_or_default().to_owned()));
    }
    flags
}

/// True for a value that is not a template's placeholder.
fn is_known(value: &str) -> bool {
    !value.contains("{{")
}

/// An argument of the EPP.
struct Flag<'a> {
    name: &'a str,
    value: &'a str,
}

fn read_flag(migration: &mut Migration, title: &str, flag: &Flag<'_>, maps: &[String]) {
    let Flag { name, value } = *flag;
    match name {
        "configtext" => read_config(migration, title, value),
        "configfile" => {
            let key = value.rsplit('/').next().unwrap_or(value).to_owned();
            let model = migration.models.current();
            if !model.values.contains_key("config") {
                model.config = Some(ConfigReference { maps: maps.to_vec(), key });
            }
        }
        "poolnamespace" if is_known(value) => {
            migration.models.current().values.insert("namespace".to_owned(), json!(value));
        }
        "poolname" | "poolnamespace" => (),
        _ => {
            let unused = UNUSED.iter().find(|(other, _)| *other == name);
            let why = unused.map_or("not known here; not carried over", |(_, why)| *why);
            migration.note(format!("{title}: argument --{name}: {why}"));
        }
    }
}

/// Reads every key of a ConfigMap that holds an EndpointPickerConfig.
pub(super) fn read_config_map(migration: &mut Migration, object: &Value) {
    let title = title(object);
    let name = text(object, "/metadata/name").unwrap_or("without a name");
    let data = object.get("data").and_then(Value::as_object);
    for (key, value) in data.into_iter().flatten() {
        let title = format!("{title}, key {key}");
        let yaml = value.as_str().unwrap_or_default();
        match serde_saphyr::from_str::<Value>(yaml) {
            Ok(config) if text(&config, "/kind") == Some("EndpointPickerConfig") => {
                migration.unassigned.push(UnassignedConfig {
                    map: name.to_owned(),
                    key: key.clone(),
                    config,
                });
            }
            _ => migration.note(format!("{title}: not an EndpointPickerConfig; not read")),
        }
    }
}

fn read_config(migration: &mut Migration, title: &str, yaml: &str) {
    match serde_saphyr::from_str::<Value>(yaml) {
        Ok(found) => config::read(migration, &found, title),
        Err(why) => migration.note(format!("{title}: --config-text: invalid YAML: {why}")),
    }
}
