//! What istiod makes of a route to an InferencePool.
//!
//! As read in istio's pilot/pkg/networking/core (the pool's cluster, the route's overrides) and pilot/pkg/xds/filters (the filter that
//! asks the EPP).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{fixture::GATEWAY, manifests};

/// Host of the pool `qwen-inference-pool` in `models`: istiod adds a hash of the name.
const HOST: &str = "qwen-inference-pool-ip-4cd103db.models.svc.cluster.local";

/// Cluster of the EPP that the pool names.
const EPP: &str = "outbound|9002||qwen-epp-service.models.svc.cluster.local";

/// Route of the first rule of the HTTPRoute `qwen-kserve-route`.
pub(super) const ROUTE: &str = "models.qwen-kserve-route.0";

/// Returns a gateway whose only route goes to the pool, with an EPP at this address.
pub(super) fn bootstrap(epp: SocketAddr) -> Value {
    let mut bootstrap = manifests::objects(&GATEWAY.replace("${SERVICE}", HOST)).remove(0);
    let pool = format!("outbound|54321||{HOST}");
    let resources = &mut bootstrap["static_resources"];
    let cluster = &mut resources["clusters"][0];
    cluster["name"] = json!(pool);
    cluster["load_assignment"]["cluster_name"] = json!(pool);
    cluster["load_balancing_policy"] = follows_metadata();
    cluster.as_object_mut().unwrap().remove("lb_policy");
    resources["clusters"].as_array_mut().unwrap().push(cluster_of_epp(epp));
    let manager = &mut resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    manager["http_filters"].as_array_mut().unwrap().insert(0, asks_epp());
    // istiod names no authority, so that Envoy says the cluster's name, which the story's server would refuse as no host.
    let service = json!({"envoy_grpc": {"cluster_name": EPP, "authority": "qwen-epp-service"}});
    let route = &mut manager["route_config"]["virtual_hosts"][0]["routes"][0];
    route["name"] = json!(ROUTE);
    route["route"]["cluster"] = json!(pool);
    route["typed_per_filter_config"] = json!({"envoy.filters.http.ext_proc": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute",
        "overrides": {
            "failure_mode_allow": true,
            "grpc_service": service,
            "processing_mode": {
                "request_header_mode": "SEND",
                "request_body_mode": "FULL_DUPLEX_STREAMED",
                "request_trailer_mode": "SEND",
                "response_header_mode": "SEND",
                "response_body_mode": "FULL_DUPLEX_STREAMED",
                "response_trailer_mode": "SEND",
            },
        },
    }});
    bootstrap
}

/// The pool's cluster goes by metadata, which only a filter can set.
fn follows_metadata() -> Value {
    let path = json!([{"key": "x-gateway-destination-endpoint"}]);
    let balancer = |name: &str, message: &str, mut config: Value| {
        let kind =
            format!("type.googleapis.com/envoy.extensions.load_balancing_policies.{message}");
        config["@type"] = json!(kind);
        let name = format!("envoy.load_balancing_policies.{name}");
        json!({"policies": [{"typed_extension_config": {"name": name, "typed_config": config}}]})
    };
    let fallback = balancer("round_robin", "round_robin.v3.RoundRobin", json!({}));
    let sources = json!([{"metadata": {"key": "envoy.lb", "path": path}}]);
    let config = json!({"override_host_sources": sources, "fallback_policy": fallback});
    balancer("override_host", "override_host.v3.OverrideHost", config)
}

fn asks_epp() -> Value {
    json!({
        "name": "envoy.filters.http.ext_proc",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
            "grpc_service": {"envoy_grpc": {"cluster_name": "dummy"}, "timeout": "10s"},
            "failure_mode_allow": true,
            "processing_mode": {"request_header_mode": "SKIP", "response_header_mode": "SKIP"},
            "message_timeout": "1000s",
            "metadata_options": {
                "receiving_namespaces": {"untyped": ["envoy.lb"]},
                "forwarding_namespaces": {"untyped": ["envoy.lb"]},
            },
        },
    })
}

fn cluster_of_epp(address: SocketAddr) -> Value {
    let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let place = json!({"address": address.ip().to_string(), "port_value": address.port()});
    let endpoint = json!({"endpoint": {"address": {"socket_address": place}}});
    json!({
        "name": EPP,
        "type": "STATIC",
        "load_assignment": {"cluster_name": EPP, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {options: {
            "@type": format!("type.googleapis.com/{options}"),
            "explicit_http_config": {"http2_protocol_options": {}},
        }},
    })
}
