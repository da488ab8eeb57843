//! The EPP's well-known configurations, pasted whole: accepted, or refused with what is missing.

use picker_core::Profile;
use wire::config::{PluginConfig, parse};

/// The profiles that a configuration gives, or why it gives none; without the list of all types.
pub(crate) fn say(json: &str) -> String {
    match parse(json.as_bytes()) {
        Ok(PluginConfig::Picker(picker)) => {
            let pool = picker.pools.first().unwrap();
            let scheduling = &pool.scheduler.scheduling;
            let profiles: Vec<String> =
                scheduling.profiles.iter().map(Profile::to_string).collect();
            format!("{}; flow control {}", profiles.join("; "), pool.flow.is_some())
        }
        Ok(PluginConfig::Ingest(_)) => "ingest".to_owned(),
        Err(error) => {
            let error = error.to_string();
            error.split("; allowed: prefix-cache-scorer").next().unwrap_or_default().to_owned()
        }
    }
}

#[test]
fn the_default_and_the_optimised_baselines() {
    insta::assert_snapshot!(say(r#"{
        "apiVersion": "llm-d.ai/v1", "kind": "EndpointPickerConfig",
        "plugins": [
            {"type": "queue-scorer"}, {"type": "kv-cache-utilization-scorer"}, {"type": "prefix-cache-scorer"},
            {"type": "max-score-picker"}, {"type": "single-profile-handler"}],
        "schedulingProfiles": [{"name": "default", "plugins": [
            {"pluginRef": "queue-scorer", "weight": 2}, {"pluginRef": "kv-cache-utilization-scorer", "weight": 2},
            {"pluginRef": "prefix-cache-scorer", "weight": 3}, {"pluginRef": "max-score-picker"}]}]}"#), @"default: 2 queue-scorer, 2 kv-cache-utilization-scorer, 3 prefix-cache-scorer, max-score-picker of 3; flow control false");
    insta::assert_snapshot!(say(r#"{
        "apiVersion": "llm-d.ai/v1alpha1", "kind": "EndpointPickerConfig",
        "plugins": [
            {"type": "queue-scorer"}, {"type": "kv-cache-utilization-scorer"}, {"type": "prefix-cache-scorer"},
            {"type": "no-hit-lru-scorer", "parameters": {"lruSize": 2048}}, {"type": "max-score-picker"}],
        "schedulingProfiles": [{"name": "default", "plugins": [
            {"pluginRef": "queue-scorer", "weight": 2.0}, {"pluginRef": "kv-cache-utilization-scorer", "weight": 2.0},
            {"pluginRef": "prefix-cache-scorer", "weight": 3.0}, {"pluginRef": "no-hit-lru-scorer", "weight": 2.0},
            {"pluginRef": "max-score-picker"}]}]}"#), @"default: 2 queue-scorer, 2 kv-cache-utilization-scorer, 3 prefix-cache-scorer, 2 no-hit-lru-scorer, max-score-picker of 3; flow control false");
    insta::assert_snapshot!(say(r#"{
        "apiVersion": "llm-d.ai/v1", "kind": "EndpointPickerConfig",
        "plugins": [
            {"type": "approx-prefix-cache-producer"}, {"type": "inflight-load-producer"},
            {"type": "prefix-cache-affinity-filter", "parameters": {"peakPrefillThroughput": 20480, "maxTTFTPenaltyMs": 14000}},
            {"type": "token-load-scorer"}, {"type": "max-score-picker"}],
        "schedulingProfiles": [{"name": "default", "plugins": [
            {"pluginRef": "prefix-cache-affinity-filter"}, {"pluginRef": "token-load-scorer"},
            {"pluginRef": "max-score-picker"}]}]}"#), @"default: prefix-cache-affinity-filter, 1 token-load-scorer, max-score-picker of 3; flow control false");
}

#[test]
fn lora_in_the_older_group() {
    insta::assert_snapshot!(say(r#"{
        "apiVersion": "inference.networking.x-k8s.io/v1alpha1", "kind": "EndpointPickerConfig",
        "plugins": [
            {"type": "queue-scorer"}, {"type": "kv-cache-utilization-scorer"}, {"type": "prefix-cache-scorer"},
            {"type": "no-hit-lru-scorer"}, {"type": "lora-affinity-scorer"}, {"type": "max-score-picker"}],
        "schedulingProfiles": [{"name": "default", "plugins": [
            {"pluginRef": "queue-scorer", "weight": 2}, {"pluginRef": "kv-cache-utilization-scorer", "weight": 2},
            {"pluginRef": "prefix-cache-scorer", "weight": 3}, {"pluginRef": "no-hit-lru-scorer", "weight": 2},
            {"pluginRef": "lora-affinity-scorer", "weight": 4}, {"pluginRef": "max-score-picker"}]}]}"#), @"default: 2 queue-scorer, 2 kv-cache-utilization-scorer, 3 prefix-cache-scorer, 2 no-hit-lru-scorer, 4 lora-affinity-scorer, max-score-picker of 3; flow control false");
}

/// The chart's, with the older detector at the top, and the gate.
#[test]
fn flow_control() {
    insta::assert_snapshot!(say(r#"{
        "apiVersion": "inference.networking.x-k8s.io/v1alpha1", "kind": "EndpointPickerConfig",
        "featureGates": ["flowControl"],
        "plugins": [
            {"type": "single-profile-handler"}, {"type": "queue-scorer"}, {"type": "active-request-scorer"},
            {"type": "prefix-cache-scorer"}, {"type": "fcfs-ordering-policy"}, {"type": "round-robin-fairness-policy"}],
        "saturationDetector": {"kvCacheUtilThreshold": 0.8, "metricsStalenessThreshold": "200ms", "queueDepthThreshold": 5},
        "schedulingProfiles": [{"name": "default", "plugins": [
            {"pluginRef": "queue-scorer", "weight": 2}, {"pluginRef": "active-request-scorer", "weight": 2},
            {"pluginRef": "prefix-cache-scorer", "weight": 3}]}]}"#), @"default: utilization-detector, 2 queue-scorer, 2 active-request-scorer, 3 prefix-cache-scorer, max-score-picker of 3; flow control true");
}

const PD: &str = r#"{
    "apiVersion": "llm-d.ai/v1alpha1", "kind": "EndpointPickerConfig",
    "plugins": [
        {"type": "disagg-headers-handler"}, {"type": "prefill-filter"}, {"type": "decode-filter"},
        {"type": "prefix-cache-scorer"}, {"type": "queue-scorer"}, {"type": "kv-cache-utilization-scorer"},
        {"type": "active-request-scorer"}, {"type": "max-score-picker"},
        {"type": "disagg-profile-handler", "parameters": {"deciders": {"prefill": "prefix-based-pd-decider"}}},
        {"type": "prefix-based-pd-decider", "parameters": {"nonCachedTokens": 512}}],
    "schedulingProfiles": [
        {"name": "prefill", "plugins": [
            {"pluginRef": "prefill-filter"}, {"pluginRef": "prefix-cache-scorer", "weight": 3},
            {"pluginRef": "queue-scorer", "weight": 2}, {"pluginRef": "kv-cache-utilization-scorer", "weight": 2},
            {"pluginRef": "max-score-picker"}]},
        {"name": "decode", "plugins": [
            {"pluginRef": "decode-filter"}, {"pluginRef": "active-request-scorer", "weight": 2},
            {"pluginRef": "prefix-cache-scorer", "weight": 3}, {"pluginRef": "max-score-picker"}]}]ENVOY}"#;

#[test]
fn disaggregated_serving() {
    insta::assert_snapshot!(say(&PD.replace("ENVOY", "")), @"prefill: prefill-filter, 3 prefix-cache-scorer, 2 queue-scorer, 2 kv-cache-utilization-scorer, max-score-picker of 3; decode: decode-filter, 2 active-request-scorer, 3 prefix-cache-scorer, max-score-picker of 3; flow control false");
    let buffered = r#", "envoy": {"hold": "bufferFilter", "destination": "property"}"#;
    insta::assert_snapshot!(say(&PD.replace("ENVOY", buffered)), @r#"invalid envoy.hold "bufferFilter": must not go with a profile handler that sets headers, as headers can no longer be written once they went on; allowed: stopIteration"#);
    insta::assert_snapshot!(say(&PD.replace("ENVOY", "").replace(r#""name": "decode""#, r#""name": "other""#)), @r#"invalid configuration: must have a profile named "decode", which is the decode profile; has prefill, other"#);
}

#[test]
fn what_cannot_be_is_refused_with_the_reason() {
    insta::assert_snapshot!([
        r#"{"plugins": [{"type": "precise-prefix-cache-producer"}]}"#,
        r#"{"plugins": [{"type": "endpoint-attribute-scorer"}]}"#,
        r#"{"plugins": [{"type": "endpoint-attribute-scorer", "parameters": {"attributeKey": "a", "algorithm": {"type": "linear_lower_is_better", "normalization": {"fixedRange": {"min": 2, "max": 1}}}}}]}"#,
        r#"{"plugins": [{"type": "endpoint-attribute-filter", "parameters": {"attribute": "a", "algorithm": {"type": "threshold", "threshold": {"operator": "Near", "value": 1}}}}]}"#,
        r#"{"plugins": [{"type": "topology-affinity-filter", "parameters": {"minAffinity": "planet"}}]}"#,
        r#"{"plugins": [{"type": "queue-scorer"}], "requestHandler": {"parsers": [{"pluginRef": "queue-scorer"}]}}"#,
        r#"{"plugins": [{"type": "vllmgrpc-parser"}]}"#,
        r#"{"plugins": [{"type": "session-affinity-scorer", "parameters": {"strategy": "cookie"}}]}"#,
        r#"{"plugins": [{"type": "session-affinity-scorer", "parameters": {"sessionIdConfig": {"sources": [{"attribute": "agent-identity"}]}}}]}"#,
        r#"{"plugins": [{"type": "header-label-affinity-scorer"}]}"#,
        r#"{"plugins": [{"type": "probabilistic-admitter", "parameters": {"k": 0}}]}"#,
        r#"{"plugins": [{"type": "single-profile-handler"}, {"type": "data-parallel-profile-handler"}]}"#,
        r#"{"plugins": [{"type": "label-selector-filter", "parameters": {"matchExpressions": [{"key": "a", "operator": "In"}]}}]}"#,
        r#"{"schedulingProfiles": [{"name": "a"}, {"name": "b"}]}"#,
        r#"{"schedulingProfiles": [{"name": "a"}, {"name": "a"}]}"#,
    ].map(say).join("\n"), @r#"
    invalid plugins[0].type "precise-prefix-cache-producer": must be another type: engines' KV events come over ZMQ, which a filter in Envoy cannot read; use prefix-cache-scorer with approx-prefix-cache-producer
    invalid plugins[0].parameters.algorithm: must not be left out
    invalid plugins[0].parameters.algorithm.normalization.fixedRange: must have a min below the max
    invalid plugins[0].parameters.algorithm.threshold.operator "Near": must be a known name; allowed: LessThan, LessThanOrEqual, GreaterThan, GreaterThanOrEqual, Equal, NotEqual
    invalid plugins[0].parameters.minAffinity "planet": must be a known name; allowed: host, rack, zone, region
    invalid requestHandler.parsers[0].pluginRef "queue-scorer": must be a parser's name
    invalid plugins[0].type "vllmgrpc-parser": must be another type: bodies of protobuf are not read, and go by load
    invalid plugins[0].parameters.strategy "cookie": must be a known name; allowed: encoded_endpoint_header, session_id
    invalid plugins[0].parameters.sessionIdConfig.sources[0].attribute: must be a known field; allowed: header; invalid plugins[0].parameters.sessionIdConfig.sources[0].header: must not be left out
    invalid plugins[0].parameters.headerName: must not be left out
    invalid plugins[0].parameters.k 0: must be a number above 0, at most 1e9
    invalid configuration: must have one profile handler; has more
    invalid plugins[0].parameters.matchExpressions[0].operator "In": must have a value or more
    invalid configuration: must have 1 profile with this profile handler; has 2
    invalid schedulingProfiles[1] "a": must have a name that no other profile has
    "#);
}
