//! The EPP's Deployment and the ConfigMap beside it.

use serde_json::{Value, json};

use super::{Loose, Migration, config, models::Wanted, text, title};

/// Arguments of the EPP whose work is done otherwise here, and by what.
const ELSEWHERE: [(&str, &str); 9] = [
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

/// Arguments that are carried over, which older EPPs wrote without hyphens.
const READ: [&str; 4] = ["configtext", "configfile", "poolname", "poolnamespace"];

/// Reads an EPP's Deployment: the arguments of its first container.
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

/// Reads the arguments of an EPP, whose files are in these ConfigMaps.
pub(super) fn read_arguments(
    migration: &mut Migration,
    of: &str,
    arguments: &[String],
    maps: Vec<String>,
) {
    let flags = flags(migration, of, arguments);
    // Whose arguments they are comes first.
    let pool = flags.iter().find(|(name, value)| name == "poolname" && is_said(value));
    if let Some((_, pool)) = pool {
        let values = &mut migration.models.of_pool(pool).values;
        let none = || json!({"create": false, "name": pool});
        values.entry("inferencePool").or_insert_with(none);
    }
    for (name, value) in flags {
        read_flag(migration, of, &name, &value, &maps);
    }
}

/// Names and values; those that the picker reads are without hyphens.
fn flags(migration: &mut Migration, of: &str, arguments: &[String]) -> Vec<(String, String)> {
    let mut flags = Vec::new();
    let mut rest = arguments.iter().map(String::as_str).peekable();
    while let Some(argument) = rest.next() {
        let Some(flag) = argument.strip_prefix('-').map(|flag| flag.trim_start_matches('-')) else {
            migration.note(format!("{of}: argument {argument:?}: not carried over"));
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

/// A template's placeholder says nothing.
fn is_said(value: &str) -> bool {
    !value.contains("{{")
}

fn read_flag(migration: &mut Migration, of: &str, name: &str, value: &str, maps: &[String]) {
    match name {
        "configtext" => read_config(migration, of, value),
        "configfile" => {
            let key = value.rsplit('/').next().unwrap_or(value).to_owned();
            let model = migration.models.current();
            if !model.values.contains_key("config") {
                model.wanted = Some(Wanted { maps: maps.to_vec(), key });
            }
        }
        "poolnamespace" if is_said(value) => {
            migration.models.current().values.insert("namespace".to_owned(), json!(value));
        }
        "poolname" | "poolnamespace" => (),
        _ => {
            let elsewhere = ELSEWHERE.iter().find(|(other, _)| *other == name);
            let why = elsewhere.map_or("not known here; not carried over", |(_, why)| *why);
            migration.note(format!("{of}: argument --{name}: {why}"));
        }
    }
}

/// Reads every key of a ConfigMap that holds an EndpointPickerConfig.
pub(super) fn read_config_map(migration: &mut Migration, object: &Value) {
    let title = title(object);
    let name = text(object, "/metadata/name").unwrap_or("without a name");
    let data = object.get("data").and_then(Value::as_object);
    for (key, value) in data.into_iter().flatten() {
        let of = format!("{title}, key {key}");
        let yaml = value.as_str().unwrap_or_default();
        match serde_saphyr::from_str::<Value>(yaml) {
            Ok(config) if text(&config, "/kind") == Some("EndpointPickerConfig") => {
                migration.loose.push(Loose { map: name.to_owned(), key: key.clone(), config });
            }
            _ => migration.note(format!("{of}: no EndpointPickerConfig; not read")),
        }
    }
}

fn read_config(migration: &mut Migration, of: &str, yaml: &str) {
    match serde_saphyr::from_str::<Value>(yaml) {
        Ok(found) => config::read(migration, &found, of),
        Err(why) => migration.note(format!("{of}: --config-text is no YAML: {why}")),
    }
}
