//! The EPP's Deployment and the ConfigMap beside it.

use serde_json::{Value, json};

use super::{Migration, UnassignedConfig, config, models::ConfigReference, text, title};

/// Arguments of the EPP that llm-picker has no use for, each with the reason.
const UNUSED: [(&str, &str); 32] = [
    ("pool-group", "the scraper looks in both groups"),
    ("grpc-port", NO_SERVER),
    ("grpc-health-port", NO_SERVER),
    ("grpc-max-recv-msg-size", NO_SERVER),
    ("grpc-max-send-msg-size", NO_SERVER),
    ("enable-grpc-stream-metrics", NO_SERVER),
    ("drain-timeout", NO_SERVER),
    ("health-checking", NO_SERVER),
    ("secure-serving", NO_SERVER),
    ("cert-path", NO_SERVER),
    ("enable-cert-reload", NO_SERVER),
    ("tls-min-version", NO_SERVER),
    ("tls-cipher-suites", NO_SERVER),
    ("ha-enable-leader-election", "all scrapers push, and workers of a gateway share their state"),
    ("enable-pprof", "there is no process of Go"),
    ("zap-encoder", LOGS),
    ("zap-log-level", LOGS),
    ("zap-devel", LOGS),
    ("zap-stacktrace-level", LOGS),
    ("metrics-port", METRICS),
    ("metrics-endpoint-auth", METRICS),
    ("metrics-client-ca-file", METRICS),
    ("metrics-cert-dir", METRICS),
    ("fairness-id-metric-label-limit", "1,000 label sets of a pool are counted apart"),
    ("refresh-prometheus-metrics-interval", METRICS),
    ("tracing", "traces are Envoy's"),
    ("v", LOG_LEVEL),
    ("allow-experimental-plugins", "plugins need no leave here"),
    (
        "disable-endpoint-subset-filter",
        "a subset is obeyed where a filter in front or a trusted header sets it",
    ),
    ("emit-endpoint-scores", "picker.decisionHeader has answers tell the scores"),
    ("feature-gates", "add them to the configuration's featureGates"),
    ("metrics-staleness-threshold", "set metricsStalenessThreshold of a utilization-detector"),
];
const NO_SERVER: &str = "there is no ext_proc server";
const LOGS: &str = "logs are Envoy's and the scraper's";
const METRICS: &str = "metrics are Envoy's own and the scraper's";
const LOG_LEVEL: &str = "set RUST_LOG for the scraper, the wasm component's level for Envoy";
/// Arguments that name metrics of engines, until GIE 1.4.
const ENGINE_METRICS: [&str; 5] = [
    "total-queued-requests-metric",
    "total-running-requests-metric",
    "kv-cache-usage-percentage-metric",
    "lora-info-metric",
    "cache-info-metric",
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
    let arguments = arguments(container);
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

/// Returns a container's arguments, which are behind the program's name in its command too.
pub(super) fn arguments(container: &Value) -> Vec<String> {
    let strings = |key: &str| -> Vec<String> {
        let list = container.get(key).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    strings("command").into_iter().skip(1).chain(strings("args")).collect()
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
        "refresh-metrics-interval" => {
            migration.scraper.insert("interval".to_owned(), json!(value));
        }
        "endpoint-selector" => read_selector(migration, title, value),
        "endpoint-target-ports" => read_ports(migration, title, value),
        _ if name.starts_with("model-server-metrics-") => read_metrics(migration, title, flag),
        _ if ENGINE_METRICS.contains(&name) => migration.note(format!(
            "{title}: argument --{name} {value}: the scraper knows the metrics of vLLM, SGLang, \
             TensorRT-LLM and Triton; for others pools[].engineConfigs of a scraper of your own"
        )),
        _ => {
            let unused = UNUSED.iter().find(|(other, _)| *other == name);
            let why = unused.map_or("not known here; not carried over", |(_, why)| *why);
            migration.note(format!("{title}: argument --{name}: {why}"));
        }
    }
}

/// Reads the labels of the pods, where there is no InferencePool.
fn read_selector(migration: &mut Migration, title: &str, value: &str) {
    let pairs = value.split(',').map(|pair| pair.trim().split_once('='));
    let Some(labels) = pairs.collect::<Option<Vec<_>>>() else {
        return migration.note(format!(
            "{title}: argument --endpoint-selector {value}: podLabels take key=value alone; not \
             carried over"
        ));
    };
    let labels = labels
        .into_iter()
        .map(|(key, value)| (key.trim().to_owned(), json!(value.trim_start_matches('=').trim())));
    let values = &mut migration.models.current().values;
    values.insert("podLabels".to_owned(), Value::Object(labels.collect()));
}

/// Reads the ports of the pods, where there is no InferencePool.
fn read_ports(migration: &mut Migration, title: &str, value: &str) {
    let mut ports = value.split(',').map(|port| port.trim().parse::<u16>());
    let Some(Ok(first)) = ports.next() else {
        return migration
            .note(format!("{title}: argument --endpoint-target-ports {value}: not carried over"));
    };
    migration.models.current().values.insert("port".to_owned(), json!(first));
    if ports.next().is_some() {
        migration.note(format!(
            "{title}: argument --endpoint-target-ports {value}: the chart's Service takes the first"
        ));
    }
}

/// Reads where pods have their metrics, in EPPs before llm-d 0.10.
fn read_metrics(migration: &mut Migration, title: &str, flag: &Flag<'_>) {
    let Flag { name, value } = *flag;
    let values = &mut migration.models.current().values;
    let is_kserve = values.get("kind").is_some();
    match (name, value) {
        // The pods of an LLMInferenceService are asked over TLS anyway.
        ("model-server-metrics-scheme", "https") if is_kserve => (),
        ("model-server-metrics-scheme", "https") => {
            values.insert("tls".to_owned(), json!({"insecureSkipVerify": true}));
            migration.note(format!(
                "{title}: argument --{name} {value}: tls.insecureSkipVerify, as the EPP verifies no \
                 certificates either by default"
            ));
        }
        ("model-server-metrics-scheme", _) | ("model-server-metrics-path", "/metrics") => (),
        ("model-server-metrics-https-insecure-skip-verify", _) => migration.note(format!(
            "{title}: argument --{name}: the chart's tls.insecureSkipVerify; a scraper of your own \
             takes a CA in pools[].metrics"
        )),
        _ => migration.note(format!(
            "{title}: argument --{name} {value}: the chart's scraper asks for /metrics at the model's \
             port; a scraper of your own takes another place in pools[].metrics"
        )),
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
