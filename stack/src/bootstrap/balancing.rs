//! The same Envoy without the picker: our filters are taken out of the bootstrap's tree, and Envoy
//! balances by itself.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::tree::{MANAGERS, all_at};

/// Balancing of an Envoy without our filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balancing {
    /// Every endpoint in turn.
    RoundRobin,
    /// The one of two random endpoints with fewer requests in flight.
    LeastRequest,
    /// By a ring of hashes of the header `x-conversation`, with at most 1.25 times the mean in flight on each endpoint.
    RingHash,
}

/// Name of the cluster that holds the endpoints.
const CLUSTER: &str = "models";

/// Names that our filters have in the bootstraps.
const OURS: [&str; 2] = ["llm-picker", "llm-picker-ingest"];

/// Name of the last filter of every chain.
const ROUTER: &str = "envoy.filters.http.router";

/// Path of the policy that `override_host` falls back to where no endpoint was named.
const FALLBACK: [&str; 12] = [
    "static_resources",
    "clusters",
    "*",
    "load_balancing_policy",
    "policies",
    "*",
    "typed_extension_config",
    "typed_config",
    "fallback_policy",
    "policies",
    "*",
    "typed_extension_config",
];

/// Returns a bootstrap without our filters, which balances by itself. All else stays: what our filter costs is
/// measured against it.
pub(super) fn without_filters(bootstrap: &str, balancing: Balancing) -> Result<Value> {
    let mut tree: Value =
        serde_saphyr::from_str(bootstrap).context("the bootstrap must be YAML")?;
    let mut cut = 0;
    for manager in all_at(&mut tree, &MANAGERS) {
        cut += usize::from(cut_filters(manager));
    }
    ensure!(cut > 0, "the bootstrap has none of our filters");
    let policies = all_at(&mut tree, &FALLBACK);
    ensure!(!policies.is_empty(), "the bootstrap has no fallback policy");
    for policy in policies {
        *policy = balancing.policy();
    }
    if balancing == Balancing::RingHash {
        hash_conversations(&mut tree)?;
    }
    Ok(tree)
}

impl Balancing {
    /// Returns the extension of Envoy that balances so.
    fn policy(self) -> Value {
        const TYPES: &str = "type.googleapis.com/envoy.extensions.load_balancing_policies";
        match self {
            Self::RoundRobin => json!({
                "name": "envoy.load_balancing_policies.round_robin",
                "typed_config": {"@type": format!("{TYPES}.round_robin.v3.RoundRobin")},
            }),
            Self::LeastRequest => json!({
                "name": "envoy.load_balancing_policies.least_request",
                "typed_config": {"@type": format!("{TYPES}.least_request.v3.LeastRequest")},
            }),
            // Consistent hashing with bounded loads.
            Self::RingHash => json!({
                "name": "envoy.load_balancing_policies.ring_hash",
                "typed_config": {
                    "@type": format!("{TYPES}.ring_hash.v3.RingHash"),
                    "consistent_hashing_lb_config": {"hash_balance_factor": 125},
                },
            }),
        }
    }
}

/// Cuts our filter out of a connection manager, with what stands between it and the router, which serves our filter
/// alone. Returns false if our filter is not there.
fn cut_filters(manager: &mut Value) -> bool {
    let filters = manager.pointer_mut("/typed_config/http_filters").and_then(Value::as_array_mut);
    let Some(filters) = filters else { return false };
    let mut is_cut = false;
    let mut any = false;
    filters.retain(|filter| {
        let name = filter.get("name").and_then(Value::as_str).unwrap_or_default();
        if OURS.contains(&name) {
            is_cut = true;
            any = true;
        } else if name == ROUTER {
            is_cut = false;
        }
        !is_cut
    });
    // What tells of its decisions goes with it.
    let settings = manager.get_mut("typed_config").and_then(Value::as_object_mut);
    if let Some(settings) = settings.filter(|_| any) {
        settings.retain(|key, _| key != "access_log" && key != "tracing");
    }
    any
}

/// Has requests of one conversation hashed alike, on every route to the models.
fn hash_conversations(tree: &mut Value) -> Result<()> {
    let mut path = MANAGERS.to_vec();
    path.extend(["typed_config", "route_config", "virtual_hosts", "*", "routes", "*", "route"]);
    let routes = all_at(tree, &path).into_iter().filter_map(Value::as_object_mut);
    let to_models = |route: &&mut serde_json::Map<String, Value>| {
        route.get("cluster").and_then(Value::as_str) == Some(CLUSTER)
    };
    let mut hashed = 0;
    for route in routes.filter(to_models) {
        let by_header = json!([{"header": {"header_name": "x-conversation"}}]);
        route.insert("hash_policy".to_owned(), by_header);
        hashed += 1;
    }
    ensure!(hashed > 0, "the bootstrap has no route to the cluster {CLUSTER}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOTSTRAP: &str = include_str!("../../../envoy/local/stop-iteration-header.yaml");

    fn fallback(tree: &mut Value) -> Value {
        let [policy] = &all_at(tree, &FALLBACK)[..] else { panic!("one policy") };
        (**policy).clone()
    }

    #[test]
    fn without_our_filters_nothing_of_wasm_is_left() {
        assert!(BOOTSTRAP.contains("filters.http.wasm"));
        let mut tree = without_filters(BOOTSTRAP, Balancing::RoundRobin).unwrap();
        let plain = tree.to_string();
        assert!(!plain.contains("${WASM}") && !plain.contains("${PLUGIN_JSON}"), "{plain}");
        assert!(!plain.contains("wasm"), "{plain}");
        assert_eq!(plain.matches(r#""name":"envoy.filters.http.router""#).count(), 2);
        assert!(plain.contains("override_host") && plain.contains("${ENDPOINTS}"));
        assert!(plain.contains("round_robin.v3.RoundRobin"));
        // Nothing else has changed: that Envoy balanced in this way before.
        let mut whole: Value = serde_saphyr::from_str(BOOTSTRAP).unwrap();
        assert_eq!(fallback(&mut tree), fallback(&mut whole));
        all_at(&mut whole, &MANAGERS).into_iter().for_each(|manager| {
            let settings = manager["typed_config"].as_object_mut().unwrap();
            settings["http_filters"].as_array_mut().unwrap().remove(0);
            // What tells of its decisions goes with our filter.
            settings.retain(|key, _| key != "access_log" && key != "tracing");
        });
        assert_eq!(tree, whole);
    }

    #[test]
    fn the_other_policies_take_the_place_of_round_robin() {
        let mut least = without_filters(BOOTSTRAP, Balancing::LeastRequest).unwrap();
        let policy = fallback(&mut least).to_string();
        assert!(policy.contains("least_request.v3.LeastRequest"), "{policy}");
        let text = least.to_string().to_lowercase();
        assert!(!text.contains("round"), "{text}");
        let mut ring = without_filters(BOOTSTRAP, Balancing::RingHash).unwrap();
        let policy = fallback(&mut ring).to_string();
        assert!(policy.contains("ring_hash.v3.RingHash"), "{policy}");
        assert!(policy.contains("hash_balance_factor"), "{policy}");
        let text = ring.to_string().to_lowercase();
        assert!(text.contains("hash_policy") && !text.contains("round"), "{text}");
    }

    #[test]
    fn a_bootstrap_of_another_kind_is_refused() {
        let error = without_filters("static_resources: {}", Balancing::RoundRobin).unwrap_err();
        insta::assert_snapshot!(error, @"the bootstrap has none of our filters");
    }
}
