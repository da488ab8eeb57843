//! The configurations of llm-d's guides, as the EPP's own test of well-known configurations has
//! them: taken, or refused with what is missing and why.

#![allow(clippy::panic, reason = "a test may panic")]

use picker_core::{Admitter, Decider, Handler, admission::Probabilistic};
use serde_json::{Value, json};
use wire::config::{PluginConfig, parse};

use crate::epp::say;

/// A guide's configuration: its plugins, and its profiles as `name: plugin weight, plugin`.
fn guide(plugins: &Value, profiles: &[&str]) -> Value {
    let reference = |plugin: &str| match plugin.split_once(' ') {
        Some((name, weight)) => {
            json!({"pluginRef": name, "weight": weight.parse::<f64>().unwrap()})
        }
        None => json!({"pluginRef": plugin}),
    };
    let profile = |text: &&str| {
        let (name, plugins) = text.split_once(": ").unwrap();
        json!({"name": name, "plugins": plugins.split(", ").map(reference).collect::<Vec<_>>()})
    };
    json!({
        "apiVersion": "llm-d.ai/v1alpha1", "kind": "EndpointPickerConfig",
        "plugins": plugins, "schedulingProfiles": profiles.iter().map(profile).collect::<Vec<_>>(),
    })
}

/// Plugins without parameters.
fn types(names: &str) -> Vec<Value> {
    names.split(' ').map(|name| json!({"type": name})).collect()
}

fn with(names: &str, more: Value) -> Value {
    let mut plugins = types(names);
    plugins.extend(more.as_array().unwrap().iter().cloned());
    plugins.into()
}

fn disagg(decider: &str) -> Value {
    let parameters = json!({"deciders": {"prefill": decider}});
    json!([{"type": "disagg-profile-handler", "parameters": parameters}])
}

const PREFILL: &str = "prefill: prefill-filter, prefix-cache-scorer 3, queue-scorer 2, \
                       kv-cache-utilization-scorer 2, max-score-picker";
const PD: &str = "disagg-headers-handler always-disagg-pd-decider prefill-filter decode-filter \
                  prefix-cache-scorer queue-scorer kv-cache-utilization-scorer \
                  active-request-scorer max-score-picker";

#[test]
fn prefixes_and_load() {
    let baseline = guide(
        &types("queue-scorer kv-cache-utilization-scorer prefix-cache-scorer no-hit-lru-scorer")
            .into(),
        &[
            "default: queue-scorer 2, kv-cache-utilization-scorer 2, prefix-cache-scorer 3, no-hit-lru-scorer 2",
        ],
    );
    insta::assert_snapshot!(say(&baseline.to_string()), @"default: 2 queue-scorer, 2 kv-cache-utilization-scorer, 3 prefix-cache-scorer, 2 no-hit-lru-scorer, max-score-picker of 3; flow control false");
    let payload = json!({"requestHandler": {"parsers": [{"pluginRef": "passthrough-parser"}]}});
    let mut agnostic = guide(
        &types("passthrough-parser active-request-scorer session-affinity-scorer").into(),
        &["default: active-request-scorer 1, session-affinity-scorer 1"],
    );
    agnostic.as_object_mut().unwrap().extend(payload.as_object().unwrap().clone());
    insta::assert_snapshot!(say(&agnostic.to_string()), @"default: 1 active-request-scorer, 1 session-affinity-scorer, max-score-picker of 3; flow control false");
    agnostic["featureGates"] = json!(["experimentalPlugins"]);
    insta::assert_snapshot!(say(&agnostic.to_string()), @"default: 1 active-request-scorer, 1 session-affinity-scorer, max-score-picker of 3; flow control false");
}

/// The older handler goes by the prefix-based decider, if one is listed, and else sends every prompt apart, as the
/// EPPs did that knew no deciders.
#[test]
fn the_older_handler_has_a_decider_by_default() {
    let profiles = ["prefill: prefill-filter", "decode: decode-filter"];
    let parameters = json!({"nonCachedTokens": 8});
    let decider = json!([{"type": "prefix-based-pd-decider", "parameters": parameters}]);
    let of = |more| {
        let plugins = with("pd-profile-handler prefill-filter decode-filter", more);
        let config = guide(&plugins, &profiles).to_string();
        let Ok(PluginConfig::Picker(picker)) = parse(config.as_bytes()) else { panic!("{config}") };
        let Handler::Disagg(disagg) = &picker.pools[0].scheduler.scheduling.handler else {
            panic!("{config}")
        };
        disagg.prefill_decider
    };
    assert_eq!(of(decider), Some(Decider::PrefixBased { uncached: 8, prompt: 0 }));
    assert_eq!(of(json!([])), Some(Decider::Always));
}

/// A cache on the GPU and another in the host's memory, each with an index of its own.
#[test]
fn tiers_of_caches() {
    let producer = json!({"autoTune": false, "lruCapacityPerServer": 1000});
    let of_cpu = json!({"prefixMatchInfoProducerName": "cpu-prefix-cache-producer"});
    let more = json!([
        {"type": "approx-prefix-cache-producer", "name": "cpu-prefix-cache-producer", "parameters": producer},
        {"type": "prefix-cache-scorer", "name": "gpu-prefix-cache-scorer"},
        {"type": "prefix-cache-scorer", "name": "cpu-prefix-cache-scorer", "parameters": of_cpu},
    ]);
    let tiers = guide(
        &with("token-producer queue-scorer kv-cache-utilization-scorer", more),
        &[
            "default: queue-scorer 2, kv-cache-utilization-scorer 2.0, gpu-prefix-cache-scorer 1.0, cpu-prefix-cache-scorer 1.0",
        ],
    );
    insta::assert_snapshot!(say(&tiers.to_string()), @r#"invalid plugins[5]: must not go by the prefixes of "cpu-prefix-cache-producer" beside those of "approx-prefix-cache-producer"; allowed: those of one producer, as one index of one capacity is kept for each endpoint"#);
}

#[test]
fn prefill_apart_from_decode() {
    let decode =
        "decode: decode-filter, active-request-scorer 2, prefix-cache-scorer 3, max-score-picker";
    let pd = guide(&with(PD, disagg("always-disagg-pd-decider")), &[PREFILL, decode]);
    insta::assert_snapshot!(say(&pd.to_string()), @"prefill: prefill-filter, 3 prefix-cache-scorer, 2 queue-scorer, 2 kv-cache-utilization-scorer, max-score-picker of 3; decode: decode-filter, 2 active-request-scorer, 3 prefix-cache-scorer, max-score-picker of 3; flow control false");
    let wide = decode.replace(" 3", "");
    let wide = guide(&with(PD, disagg("always-disagg-pd-decider")), &[PREFILL, &wide]);
    insta::assert_snapshot!(say(&wide.to_string()), @"prefill: prefill-filter, 3 prefix-cache-scorer, 2 queue-scorer, 2 kv-cache-utilization-scorer, max-score-picker of 3; decode: decode-filter, 2 active-request-scorer, 1 prefix-cache-scorer, max-score-picker of 3; flow control false");
    let of_ranks = |handlers: &str, handler: Value| {
        let plugins = format!(
            "token-producer prefix-based-pd-decider {handlers} prefill-filter decode-filter prefix-cache-scorer active-request-scorer queue-scorer"
        );
        let profiles = [
            "prefill: prefill-filter, prefix-cache-scorer 3, active-request-scorer 2, queue-scorer 2",
            "decode: decode-filter, active-request-scorer 1, queue-scorer 1",
        ];
        say(&guide(&with(&plugins, handler), &profiles).to_string())
    };
    insta::assert_snapshot!(of_ranks("disagg-headers-handler", disagg("prefix-based-pd-decider")), @"prefill: prefill-filter, 3 prefix-cache-scorer, 2 active-request-scorer, 2 queue-scorer, max-score-picker of 3; decode: decode-filter, 1 active-request-scorer, 1 queue-scorer, max-score-picker of 3; flow control false");
    insta::assert_snapshot!(of_ranks("prefill-header-handler", json!([{"type": "pd-profile-handler"}])), @"prefill: prefill-filter, 3 prefix-cache-scorer, 2 active-request-scorer, 2 queue-scorer, max-score-picker of 3; decode: decode-filter, 1 active-request-scorer, 1 queue-scorer, max-score-picker of 3; flow control false");
}

#[test]
fn flow_control() {
    let parameters = json!({"maxConcurrency": 132, "concurrencyMode": "requests", "headroom": 0.0});
    let names = "queue-scorer kv-cache-utilization-scorer prefix-cache-scorer round-robin-fairness-policy fcfs-ordering-policy";
    let more = json!([{"type": "concurrency-detector", "parameters": parameters}]);
    let mut flow = guide(
        &with(names, more),
        &["default: queue-scorer 2, kv-cache-utilization-scorer 2, prefix-cache-scorer 3"],
    );
    let band = |priority: i32, requests: &str| {
        json!({
            "priority": priority, "maxRequests": requests,
            "fairnessPolicyRef": "round-robin-fairness-policy", "orderingPolicyRef": "fcfs-ordering-policy",
        })
    };
    flow["featureGates"] = json!(["flowControl"]);
    flow["flowControl"] = json!({
        "saturationDetector": {"pluginRef": "concurrency-detector"},
        "maxBytes": "10Gi", "maxRequests": "1k", "defaultRequestTTL": "60s",
        "priorityBands": [band(100, "500"), band(0, "200"), band(-10, "50")],
    });
    insta::assert_snapshot!(say(&flow.to_string()), @"default: concurrency-detector, 2 queue-scorer, 2 kv-cache-utilization-scorer, 3 prefix-cache-scorer, max-score-picker of 3; flow control true");
}

#[test]
fn predicted_latency() {
    let affinity = |name: &str, threshold: f64| {
        let parameters = json!({"affinityThreshold": threshold});
        json!({"type": "prefix-cache-affinity-filter", "name": name, "parameters": parameters})
    };
    let source = json!({"insecureSkipVerify": true, "path": "/metrics", "scheme": "http"});
    let more = json!([
        {"type": "metrics-data-source", "parameters": source},
        {"type": "predicted-latency-producer", "parameters": {"streamingMode": true}},
        affinity("strict-affinity-filter", 0.99), affinity("loose-affinity-filter", 0.8),
    ]);
    let names = "queue-scorer kv-cache-utilization-scorer prefix-cache-scorer core-metrics-extractor latency-scorer weighted-random-picker slo-headroom-tier-filter";
    let profile = "default: predicted-latency-producer, strict-affinity-filter, slo-headroom-tier-filter, loose-affinity-filter, latency-scorer, weighted-random-picker";
    insta::assert_snapshot!(say(&guide(&with(names, more.clone()), &[profile]).to_string()), @"default: prefix-cache-affinity-filter, slo-headroom-tier-filter, prefix-cache-affinity-filter, 1 latency-scorer, weighted-random-picker of 3; flow control false");
    let admits = guide(&with(&format!("{names} latency-slo-admitter"), more), &[profile]);
    assert_eq!(admitters(&admits), [Admitter::LatencySlo]);
}

/// Returns the admitters of the first pool.
fn admitters(config: &Value) -> Vec<Admitter> {
    let PluginConfig::Picker(picker) = parse(config.to_string().as_bytes()).unwrap() else {
        panic!("no picker")
    };
    picker.pools.first().unwrap().scheduler.admitters.clone()
}

#[test]
fn shedding_by_chance() {
    let parameters = json!({"queueDepthThreshold": 9, "k": 7.5});
    let plugins = json!([{"type": "probabilistic-admitter", "parameters": parameters}, {"type": "queue-scorer"}]);
    let expected = Probabilistic { queue_depth: 9.0, kv_cache_util: 0.8, power: 5.0, k: 7.5 };
    assert_eq!(
        admitters(&guide(&plugins, &["default: queue-scorer"])),
        [Admitter::Probabilistic(expected)]
    );
}

/// Prompts by the engines' own word on what they have cached.
#[test]
fn precise_prefixes() {
    let precise = guide(
        &types("token-producer precise-prefix-cache-producer prefix-cache-scorer queue-scorer")
            .into(),
        &["default: prefix-cache-scorer 3, queue-scorer 2"],
    );
    insta::assert_snapshot!(say(&precise.to_string()), @r#"invalid plugins[1].type "precise-prefix-cache-producer": must be another type: engines' KV events come over ZMQ, which a filter in Envoy cannot read; use prefix-cache-scorer with approx-prefix-cache-producer"#);
}
