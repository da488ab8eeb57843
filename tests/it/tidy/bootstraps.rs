//! The bootstraps of `envoy/local/` are whole, so that each can be read and taken by itself; they differ only where their way
//! into Envoy asks for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_json::Value;

use super::root;

/// The bootstrap that the others are compared with.
const FIRST: &str = "stop-iteration-header";

/// Keys that differ from those of the first bootstrap, by what a way asks for.
const HELD_BY_BUFFER: &[&str] = &[
    // Only stopIteration needs the body callback while headers are held.
    "gateway/http_filters/llm-picker/typed_config/config/allow_on_headers_stop_iteration",
    "gateway/http_filters/envoy.filters.http.buffer",
];
const TOLD_BY_PROPERTY: &[&str] = &["gateway/http_filters/envoy.filters.http.header_mutation"];
const TOLD_BY_FILTER_STATE: &[&str] = &[
    // One address and no list: nothing to retry at, nothing to count, nothing to balance.
    "gateway/route_config/virtual_hosts/models/routes/0/route/retry_policy",
    "gateway/route_config/virtual_hosts/models/request_headers_to_remove",
    "clusters/models/typed_extension_protocol_options/envoy.extensions.upstreams.http.v3.HttpProtocolOptions/http_filters",
    "clusters/models/lb_policy",
    "clusters/models/load_assignment",
    "clusters/models/load_balancing_policy",
    "clusters/models/type",
];

/// The other bootstraps, each with the keys in which it differs.
const OTHERS: [(&str, &[&[&str]]); 4] = [
    ("stop-iteration-property", &[TOLD_BY_PROPERTY]),
    ("stop-iteration-filter-state", &[TOLD_BY_FILTER_STATE]),
    ("buffer-filter-property", &[HELD_BY_BUFFER, TOLD_BY_PROPERTY]),
    ("buffer-filter-filter-state", &[HELD_BY_BUFFER, TOLD_BY_FILTER_STATE]),
];

/// Folders of the tree that every key is below, left out of the table for its sake.
const GATEWAY: &str = "static_resources/listeners/gateway/filter_chains/0/filters/\
    envoy.filters.network.http_connection_manager/typed_config/";

/// A bootstrap's values by the paths of their keys. Of a list, elements are known by their names, or else by their numbers.
fn keys(name: &str) -> BTreeMap<String, Value> {
    let text = fs::read_to_string(root().join(format!("envoy/local/{name}.yaml"))).unwrap();
    let mut found = BTreeMap::new();
    flatten(&serde_saphyr::from_str(&text).unwrap(), "", &mut found);
    found
}

fn flatten(value: &Value, path: &str, found: &mut BTreeMap<String, Value>) {
    let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}/{key}") };
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                flatten(value, &join(key), found);
            }
        }
        Value::Array(elements) => {
            for (number, element) in elements.iter().enumerate() {
                let number = number.to_string();
                flatten(element, &join(element["name"].as_str().unwrap_or(&number)), found);
            }
        }
        leaf => _ = found.insert(path.to_owned(), leaf.clone()),
    }
}

/// The keys that only one of two bootstraps has, or with another value.
fn differences(one: &BTreeMap<String, Value>, other: &BTreeMap<String, Value>) -> BTreeSet<String> {
    let all: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let differ = |key: &&&String| one.get(**key) != other.get(**key);
    let short = |key: &String| key.replace(GATEWAY, "gateway/").replace("static_resources/", "");
    all.iter().filter(differ).map(|key| short(key)).collect()
}

#[test]
fn the_bootstraps_differ_only_where_their_way_asks_for_it() {
    let first = keys(FIRST);
    for (name, allowed) in OTHERS {
        let allowed: Vec<&str> = allowed.concat();
        let found = differences(&first, &keys(name));
        let is_below = |key: &str, allowed: &str| {
            key.strip_prefix(allowed).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        for key in &found {
            let is_said = allowed.iter().any(|allowed| is_below(key, allowed));
            assert!(is_said, "{name} and {FIRST} differ in {key}; allowed: {allowed:?}");
        }
        for allowed in allowed {
            let is_used = found.iter().any(|key| is_below(key, allowed));
            assert!(is_used, "{name} and {FIRST} no longer differ in {allowed}");
        }
    }
}

#[test]
fn every_bootstrap_is_compared() {
    let files = super::files(&root().join("envoy/local"));
    let names = files.iter().filter(|file| file.extension().is_some_and(|end| end == "yaml"));
    let found: BTreeSet<&str> =
        names.map(|file| file.file_stem().unwrap().to_str().unwrap()).collect();
    let known: BTreeSet<&str> = OTHERS.iter().map(|(name, _)| *name).chain([FIRST]).collect();
    assert_eq!(found, known);
}

/// The settings that keep one client from costing the others, in every bootstrap.
#[test]
fn every_bootstrap_defends_the_gateway() {
    const MANAGER: &str = "static_resources/listeners/gateway/filter_chains/0/filters/\
        envoy.filters.network.http_connection_manager/typed_config";
    for name in OTHERS.iter().map(|(name, _)| *name).chain([FIRST]) {
        let keys = keys(name);
        let has = |key: &str, value: &str| {
            let found = keys.get(key).map(Value::to_string);
            assert_eq!(found.as_deref(), Some(value), "{name}: {key}");
        };
        has(&format!("{MANAGER}/use_remote_address"), "true");
        has(&format!("{MANAGER}/xff_num_trusted_hops"), "0");
        has(&format!("{MANAGER}/normalize_path"), "true");
        has(&format!("{MANAGER}/merge_slashes"), "true");
        let escaped = "path_with_escaped_slashes_action";
        has(&format!("{MANAGER}/{escaped}"), "\"UNESCAPE_AND_FORWARD\"");
        has(&format!("{MANAGER}/request_timeout"), "\"120s\"");
        // As many as the longest list has behind its first: the cluster's filters end what two pods broke off.
        let retries = "route_config/virtual_hosts/models/routes/0/route/retry_policy/num_retries";
        let fails_over = !name.ends_with("filter-state");
        has(&format!("{MANAGER}/{retries}"), if fails_over { "15" } else { "1" });
        let heap = "envoy.resource_monitors.fixed_heap/typed_config/max_heap_size_bytes";
        has(&format!("overload_manager/resource_monitors/{heap}"), "1073741824");
        let stop = "envoy.overload_actions.stop_accepting_requests/triggers";
        has(
            &format!(
                "overload_manager/actions/{stop}/envoy.resource_monitors.fixed_heap/threshold/value"
            ),
            "0.95",
        );
    }
}
