//! What istiod makes of the picker's manifests.
//!
//! As read in istio's pilot/pkg/networking/core (EnvoyFilter patches, gateway clusters) and pilot/pkg/model/extensions.go
//! (WasmPlugin), for the kinds and operations that the manifests use. Anything else, and a patch that matches nothing, is an
//! error here: in a cluster it would be silence.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use serde_json::{Value, json};

use super::manifests::text;

const ROUTER: &str = "envoy.filters.http.router";
const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const RBAC: &str = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC";

/// A gateway's configuration.
#[derive(Clone, Debug)]
pub(super) struct Gateway {
    pub(super) bootstrap: Value,
    /// What Envoy discovers by name (ECDS).
    pub(super) extensions: Vec<Value>,
}

impl Gateway {
    /// The gateway with these manifests applied.
    pub(super) fn with(bootstrap: Value, manifests: &[Value]) -> Self {
        let mut gateway = Self { bootstrap, extensions: Vec::new() };
        for plugin in of_kind(manifests, "WasmPlugin") {
            gateway.add_plugin(plugin);
        }
        for rule in of_kind(manifests, "DestinationRule") {
            gateway.apply_rule(rule);
        }
        let mut filters = of_kind(manifests, "EnvoyFilter");
        filters.sort_by_key(|filter| (priority(filter), text(filter, "/metadata/name")));
        let patches: Vec<&Value> =
            filters.iter().flat_map(|it| it["spec"]["configPatches"].as_array().unwrap()).collect();
        // Listeners that are added are not patched themselves.
        let (added, others): (Vec<_>, _) =
            patches.into_iter().partition(|it| kind(it) == ("LISTENER", "ADD"));
        for patch in others.into_iter().chain(added) {
            gateway.apply(patch);
        }
        gateway
    }

    /// The filter of the gateway's own listener by this name.
    pub(super) fn extension(&mut self, name: &str) -> &mut Value {
        let found = self.extensions.iter_mut().find(|it| text(it, "/name").ends_with(name));
        found.unwrap_or_else(|| panic!("no extension {name}"))
    }

    /// A WasmPlugin without a phase: before Istio's own last filters.
    fn add_plugin(&mut self, plugin: &Value) {
        assert!(plugin["spec"].get("phase").is_none(), "phases are not played here");
        let name =
            format!("{}.{}", text(plugin, "/metadata/namespace"), text(plugin, "/metadata/name"));
        let extension = format!("extensions.istio.io/wasmplugin/{name}");
        let mut config = json!({
            "name": name,
            "root_id": text(plugin, "/spec/pluginName"),
            "failure_policy": text(plugin, "/spec/failStrategy"),
            "configuration": string_value(&as_istio_prints(&plugin["spec"]["pluginConfig"])),
            "vm_config": {
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"remote": {
                    "http_uri": {"uri": text(plugin, "/spec/url"), "cluster": "_", "timeout": "30s"},
                }},
            },
        });
        if let Some(variables) = plugin.pointer("/spec/vmConfig/env") {
            let variables = variables.as_array().unwrap().iter();
            assert!(variables.clone().all(|it| it["valueFrom"] == "HOST"), "not played here");
            let names: Vec<_> = variables.map(|it| it["name"].clone()).collect();
            config["vm_config"]["environment_variables"] = json!({"host_env_keys": names});
        }
        self.extensions
            .push(json!({"name": extension, "typed_config": {"@type": WASM, "config": config}}));
        let filter = json!({"name": extension, "config_discovery": {
            "config_source": {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"},
            "type_urls": [WASM, RBAC],
        }});
        self.http_filters().insert(0, filter);
    }

    /// `PASSTHROUGH` makes the Service's cluster one of addresses that the request brings along.
    fn apply_rule(&mut self, rule: &Value) {
        assert_eq!(text(rule, "/spec/trafficPolicy/loadBalancer/simple"), "PASSTHROUGH");
        let host = text(rule, "/spec/host").to_owned();
        let cluster = self.cluster(&host, 8000).as_object_mut().unwrap();
        cluster.insert("type".to_owned(), json!("ORIGINAL_DST"));
        cluster.insert("lb_policy".to_owned(), json!("CLUSTER_PROVIDED"));
        cluster.remove("load_assignment");
    }

    fn apply(&mut self, patch: &Value) {
        let value = &patch["patch"]["value"];
        match kind(patch) {
            ("EXTENSION_CONFIG", "ADD") => self.extensions.push(value.clone()),
            ("LISTENER", "ADD") => {
                self.bootstrap["static_resources"]["listeners"]
                    .as_array_mut()
                    .unwrap()
                    .push(value.clone());
            }
            ("LISTENER", "MERGE") => {
                merge(&mut self.bootstrap["static_resources"]["listeners"][0], value);
            }
            ("HTTP_FILTER", "INSERT_BEFORE") => {
                let filter = "/match/listener/filterChain/filter";
                let before = text(patch, &format!("{filter}/subFilter/name"));
                assert_eq!(before, ROUTER);
                let at = self.http_filters().iter().position(|it| it["name"] == before).unwrap();
                self.http_filters().insert(at, value.clone());
            }
            ("HTTP_FILTER", "INSERT_FIRST") => self.http_filters().insert(0, value.clone()),
            ("NETWORK_FILTER", "MERGE") => merge(self.connection_manager(), &value["typed_config"]),
            ("VIRTUAL_HOST", "MERGE") => {
                merge(&mut self.connection_manager()["route_config"]["virtual_hosts"][0], value);
            }
            ("CLUSTER", "MERGE") => {
                let port = patch["match"]["cluster"]["portNumber"].as_u64().unwrap();
                merge(self.cluster(text(patch, "/match/cluster/service"), port), value);
            }
            ("HTTP_ROUTE", "MERGE") => {
                let name = "/match/routeConfiguration/vhost/route/name";
                self.merge_into_route(text(patch, name), value);
            }
            ("BOOTSTRAP", "MERGE") => merge(&mut self.bootstrap, value),
            other => panic!("the manifests have a patch that is not played here: {other:?}"),
        }
    }

    fn connection_manager(&mut self) -> &mut Value {
        &mut self.bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    }

    fn http_filters(&mut self) -> &mut Vec<Value> {
        self.connection_manager()["http_filters"].as_array_mut().unwrap()
    }

    /// Of `disabled` and `overrides`, which are one field of a filter's configuration, the later stays.
    fn merge_into_route(&mut self, name: &str, value: &Value) {
        let manager = self.connection_manager();
        let routes = manager["route_config"]["virtual_hosts"][0]["routes"].as_array_mut().unwrap();
        let route = routes.iter_mut().find(|route| route["name"] == name);
        let route = route.unwrap_or_else(|| panic!("{name} is no route"));
        merge(route, value);
        for filter in route["typed_per_filter_config"].as_object_mut().unwrap().values_mut() {
            if filter.get("disabled").is_some() {
                filter.as_object_mut().unwrap().remove("overrides");
            }
        }
    }

    fn cluster(&mut self, host: &str, port: u64) -> &mut Value {
        let clusters = self.bootstrap["static_resources"]["clusters"].as_array_mut().unwrap();
        let name = format!("outbound|{port}||{host}");
        let found = clusters.iter_mut().find(|it| it["name"] == name);
        found.unwrap_or_else(|| panic!("{name} is no cluster"))
    }
}

fn of_kind<'a>(manifests: &'a [Value], kind: &str) -> Vec<&'a Value> {
    manifests.iter().filter(|it| it["kind"] == kind).collect()
}

/// What a patch applies to, and how.
fn kind(patch: &Value) -> (&str, &str) {
    (text(patch, "/applyTo"), text(patch, "/patch/operation"))
}

fn priority(filter: &Value) -> i64 {
    filter["spec"]["priority"].as_i64().unwrap_or_default()
}

fn string_value(text: &str) -> Value {
    json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": text})
}

/// Protobuf's merge: messages into each other, lists one behind the other, everything else replaced.
fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(from)) => into.extend(from.iter().cloned()),
        (into, from) => *into = from.clone(),
    }
}

/// A pluginConfig on its way through a protobuf Struct: every number has become a double, and the keys have no order. Here
/// they are in the one that nobody writes.
fn as_istio_prints(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let members = map.iter().rev().map(|(key, value)| {
                format!("{}:{}", Value::from(key.as_str()), as_istio_prints(value))
            });
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(as_istio_prints).collect::<Vec<_>>().join(","))
        }
        Value::Number(number) => format!("{:?}", number.as_f64().unwrap()),
        Value::Null | Value::Bool(_) | Value::String(_) => value.to_string(),
    }
}
