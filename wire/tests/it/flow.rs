//! Flow control in the plugin's configuration.

use std::time::Duration;

use picker_core::{
    Config, Filter,
    flow::{FairnessPolicy, FlowConfig, OrderingPolicy, Priority, Ttl},
    saturation::{Adaptive, Detector, Utilization},
};
use wire::config::{PluginConfig, PoolConfig, RefusedConfig, parse};

fn pool(json: &str) -> Result<PoolConfig, RefusedConfig> {
    let config = parse(json.as_bytes())?;
    let pools = if let PluginConfig::Picker(picker) = config { picker.pools } else { Vec::new() };
    Ok(pools.into_iter().next().unwrap())
}

/// Reads a configuration with these fields of `flowControl` and these plugins.
fn flow(plugins: &str, section: &str) -> Result<FlowConfig, RefusedConfig> {
    let json = format!(
        r#"{{"featureGates": ["flowControl"], "plugins": [{plugins}], "flowControl": {{{section}}}}}"#
    );
    pool(&json).map(|pool| pool.flow.unwrap())
}

/// Reads the saturation detector of these plugins and fields.
fn detector(plugins: &str, fields: &str) -> Result<Detector, RefusedConfig> {
    pool(&format!(r#"{{"plugins": [{plugins}], {fields}}}"#)).map(|pool| pool.scheduler.detector)
}

/// The configuration of rh-aiservices-bu/llm-d-flowcontrol's chart, but for its
/// active-request-scorer.
const CHART: &str = r#"{
    "apiVersion": "inference.networking.x-k8s.io/v1alpha1", "kind": "EndpointPickerConfig",
    "featureGates": ["flowControl"],
    "flowControl": {
        "defaultRequestTTL": "60s", "maxBytes": 1073741824,
        "priorityBands": [
            {"priority": 0, "fairnessPolicyRef": "round-robin-fairness-policy", "orderingPolicyRef": "fcfs-ordering-policy"},
            {"priority": 100, "fairnessPolicyRef": "round-robin-fairness-policy", "orderingPolicyRef": "fcfs-ordering-policy"},
            {"priority": 10, "fairnessPolicyRef": "round-robin-fairness-policy", "orderingPolicyRef": "fcfs-ordering-policy"}]},
    "plugins": [{"type": "single-profile-handler"}, {"type": "queue-scorer"}, {"type": "prefix-cache-scorer"},
        {"type": "fcfs-ordering-policy"}, {"type": "round-robin-fairness-policy"}],
    "saturationDetector": {"kvCacheUtilThreshold": 0.8, "metricsStalenessThreshold": "200ms", "queueDepthThreshold": 5},
    "schedulingProfiles": [{"name": "default", "plugins": [
        {"pluginRef": "queue-scorer", "weight": 2}, {"pluginRef": "prefix-cache-scorer", "weight": 3}]}]}"#;

#[test]
fn the_charts_configuration_is_taken_whole() {
    let PoolConfig { scheduler, flow, .. } = pool(CHART).unwrap();
    assert_eq!(scheduler.detector, Detector::Utilization(Utilization::default()));
    let flow = flow.unwrap();
    assert_eq!(flow.limits.max_bytes, Some(1 << 30));
    assert_eq!(flow.limits.max_requests, None);
    assert_eq!(flow.default_ttl, Ttl::Within(Duration::from_secs(60)));
    assert_eq!(flow.bands.keys().copied().collect::<Vec<_>>(), [0, 10, 100].map(Priority));
    for band in flow.bands.values() {
        assert_eq!(band.fairness, FairnessPolicy::RoundRobin);
        assert_eq!(band.ordering, OrderingPolicy::Fcfs);
        assert_eq!(band.limits.max_requests, Some(5_000));
    }
}

#[test]
fn the_gate_says_whether_requests_are_held() {
    let held = |gates: &str| {
        let json =
            format!(r#"{{"featureGates": [{gates}], "flowControl": {{"maxRequests": "10k"}}}}"#);
        pool(&json).unwrap().flow.map(|flow| flow.limits.max_requests)
    };
    assert_eq!(held(r#""flowControl""#), Some(Some(10_000)));
    assert_eq!(held(r#""flowControl=true""#), Some(Some(10_000)));
    assert_eq!(held(r#""flowControl=false", "other=false""#), None);
    assert_eq!(held(""), None);
    let bare = pool(r#"{"featureGates": ["flowControl"]}"#).unwrap();
    assert_eq!(bare.flow, Some(FlowConfig::default()));
    // All that is full is left out first.
    let mut expected = Config::default();
    expected.scheduling.profiles[0].filters = vec![Filter::Detector(Detector::default())];
    assert_eq!(bare.scheduler, expected);
}

#[test]
fn every_field_becomes_the_engines() {
    let plugins = r#"
        {"name": "tokens", "type": "token-fair-fairness-policy", "parameters":
            {"inputTokenCost": 2, "outputTokenCost": 5.0, "weights": {"gold": 3}}},
        {"type": "edf-ordering-policy"}, {"type": "slo-deadline-ordering-policy"},
        {"name": "floors", "type": "weighted-band-selection-policy", "parameters":
            {"defaultFloor": 0.1, "floors": {"-1": 0.25}}},
        {"name": "holdback", "type": "priority-holdback-policy", "parameters":
            {"shape": "linear", "domain": "value", "minCeiling": 0.5}}"#;
    let section = r#"
        "maxBytes": "1Gi", "maxRequests": 0, "defaultRequestTTL": "0s", "noEndpointRequestTTL": "1m30s",
        "defaultPriorityBand": {"orderingPolicyRef": "edf-ordering-policy"},
        "defaultNegativePriorityBand": {"maxRequests": "1k", "maxBytes": 0},
        "priorityBands": [{"priority": 10.0, "defaultRequestTTL": "10s", "fairnessPolicyRef": "tokens"}],
        "usageLimitPolicyPluginRef": "holdback", "bandSelectionPolicyPluginRef": "floors",
        "enableEviction": true, "displace": true"#;
    let flow = flow(plugins, section).unwrap();
    insta::assert_snapshot!([
        format!("{:?} {:?} {:?}", flow.limits, flow.default_ttl, flow.no_endpoint_ttl),
        format!("{:?}", flow.default_band),
        format!("{:?}", flow.default_negative_band),
        format!("{:?}", flow.bands),
        format!(
            "{:?} {:?} {} {:?}",
            flow.usage_limit, flow.band_selection, flow.displace, flow.eviction
        ),
    ].join("\n"), @r#"
    Limits { max_requests: None, max_bytes: Some(1073741824) } Unlimited Some(Within(90s))
    BandConfig { limits: Limits { max_requests: Some(5000), max_bytes: Some(1000000000) }, default_ttl: None, fairness: GlobalStrict, ordering: Edf }
    Some(BandConfig { limits: Limits { max_requests: Some(1000), max_bytes: None }, default_ttl: None, fairness: GlobalStrict, ordering: Fcfs })
    {Priority(10): BandConfig { limits: Limits { max_requests: Some(5000), max_bytes: Some(1000000000) }, default_ttl: Some(Within(10s)), fairness: TokenFair(TokenCost { prompt: 2, output: 5, weights: {FairnessId("gold"): FairnessWeight(3)} }), ordering: Fcfs }}
    PriorityHoldback(Holdback(Spread { domain: Value, lowest: 0.5, highest: 1.0 })) Weighted(Floors { default: Share(100000), bands: {Priority(-1): Share(250000)} }) true Sheddable
    "#);
}

#[test]
fn a_detector_is_named_in_either_place() {
    let full = r#"{"queueDepthThreshold": 7, "kvCacheUtilThreshold": 1, "metricsStalenessThreshold": "2s",
        "headroom": 0.2, "stalenessPolicy": "saturated", "inFlightCredit": false, "kvToCome": false}"#;
    let plugin =
        format!(r#"{{"name": "d", "type": "utilization-detector", "parameters": {full}}}"#);
    let meant = Detector::Utilization(Utilization {
        queue_depth: 7,
        kv_cache_util: 1.0,
        metrics_staleness: Duration::from_secs(2),
        headroom: 0.2,
        ..Utilization::parity()
    });
    let table = [
        ("", format!(r#""saturationDetector": {full}"#)),
        (&*plugin, r#""saturationDetector": {"pluginRef": "d"}"#.to_owned()),
        (&*plugin, r#""flowControl": {"saturationDetector": {"pluginRef": "d"}}"#.to_owned()),
    ];
    for (plugins, fields) in table {
        assert_eq!(detector(plugins, &fields).as_ref(), Ok(&meant), "{fields}");
    }
    assert_eq!(
        detector("", r#""flowControl": {"saturationDetector": {}}"#),
        Ok(Detector::default())
    );
}

/// Each mention is a copy, so that four lines of 256 names each would be four thousand million detectors.
#[test]
fn a_detector_of_detectors_of_several_is_one_of_all() {
    let all = |name: &str, of: &[&str]| {
        let parameters = serde_json::json!({"detectors": of});
        serde_json::json!({"name": name, "type": "max-saturation-detector", "parameters": parameters})
    };
    let slots = r#"{"name": "slots", "type": "concurrency-detector"}"#;
    let read = |mentions: usize| {
        let [inner, outer] =
            [all("inner", &vec!["slots"; 16]), all("all", &vec!["inner"; mentions])];
        let fields = r#""flowControl": {"saturationDetector": {"pluginRef": "all"}}"#;
        detector(&format!("{slots}, {inner}, {outer}"), fields)
    };
    let Detector::Max(children) = read(16).unwrap() else { panic!("no detector of several") };
    assert_eq!(children.len(), 256);
    assert!(children.iter().all(|child| matches!(child, Detector::Concurrency(_))));
    insta::assert_snapshot!(
        read(17).unwrap_err(),
        @r#"invalid plugins[2].parameters.detectors[16] "inner": must be one of at most 256 detectors, those of others included"#
    );
}

#[test]
fn the_most_saturated_of_several_counts_wherever_they_are_listed() {
    let plugins = r#"
        {"name": "all", "type": "max-saturation-detector", "parameters": {"detectors": ["slots", "utilization-detector"]}},
        {"name": "slots", "type": "concurrency-detector", "parameters":
            {"maxConcurrency": 8, "maxTokenConcurrency": 9000, "concurrencyMode": "hybrid"}}"#;
    let fields = r#""flowControl": {"saturationDetector": {"pluginRef": "all"}}"#;
    insta::assert_debug_snapshot!(detector(plugins, fields).unwrap(), @"
    Max(
        [
            Concurrency(
                Concurrency {
                    max_requests: 8,
                    max_tokens: 9000,
                    mode: Hybrid,
                    headroom: 0.0,
                },
            ),
            Utilization(
                Utilization {
                    queue_depth: 5,
                    kv_cache_util: 0.8,
                    metrics_staleness: 200ms,
                    headroom: 0.0,
                    staleness: Estimate,
                    in_flight_credit: true,
                    kv_to_come: true,
                },
            ),
        ],
    )
    ");
}

fn say(plugins: &str, section: &str) -> String {
    flow(plugins, section).map_or_else(|error| error.to_string(), |_| "taken".to_owned())
}

#[test]
fn errors_say_where_what_and_what_is_allowed() {
    let bands = |count: u32| {
        let bands: Vec<String> =
            (1..=count).map(|band| format!(r#"{{"priority": {band}}}"#)).collect();
        format!(r#""priorityBands": [{}]"#, bands.join(", "))
    };
    insta::assert_snapshot!([
        r#""maxRequest": 1"#,
        r#""maxBytes": "1.5 Gi""#,
        r#""defaultRequestTTL": 60"#,
        r#""defaultRequestTTL": "-1s""#,
        r#""enableEviction": "yes""#,
        r#""priorityBands": [{"priority": 1}, {"priority": 1}]"#,
        r#""priorityBands": [{"maxRequests": 1}]"#,
        r#""defaultPriorityBand": {"priority": 1}"#,
        r#""defaultPriorityBand": {"fairnessPolicyRef": "edf-ordering-policy"}"#,
        r#""usageLimitPolicyPluginRef": "priority-holdback-policy""#,
        r#""saturationDetector": {"pluginRef": "queue-scorer"}"#,
        r#""saturationDetector": {"queueDepthThreshold": 5}"#,
        &bands(64),
        &bands(63),
    ].map(|section| say("", section)).join("\n"), @r#"
    invalid flowControl.maxRequest: must be a known field; allowed: maxBytes, maxRequests, defaultRequestTTL, noEndpointRequestTTL, defaultPriorityBand, defaultNegativePriorityBand, priorityBands, usageLimitPolicyPluginRef, bandSelectionPolicyPluginRef, saturationDetector, enableEviction, displace
    invalid flowControl.maxBytes "1.5 Gi": must be a number or a quantity such as "1Gi" or "10k", 0 for no limit
    invalid flowControl.defaultRequestTTL 60: must be a duration such as "200ms", "60s" or "1m30s"
    invalid flowControl.defaultRequestTTL "-1s": must be a duration such as "200ms", "60s" or "1m30s"
    invalid flowControl.enableEviction "yes": must be true or false
    invalid flowControl.priorityBands[1].priority 1: must be a priority that no other band has
    invalid flowControl.priorityBands[0].priority: must not be left out
    invalid flowControl.defaultPriorityBand.priority: must be a known field; allowed: maxBytes, maxRequests, defaultRequestTTL, fairnessPolicyRef, orderingPolicyRef
    invalid flowControl.defaultPriorityBand.fairnessPolicyRef "edf-ordering-policy": must be a known name; allowed: global-strict-fairness-policy, round-robin-fairness-policy, token-fair-fairness-policy
    invalid flowControl.usageLimitPolicyPluginRef "priority-holdback-policy": must be the name of a listed plugin, as a plugin of this type needs parameters
    invalid flowControl.saturationDetector.pluginRef "queue-scorer": must be a known name; allowed: utilization-detector, concurrency-detector, adaptive-detector, max-saturation-detector
    invalid flowControl.saturationDetector.queueDepthThreshold: must be a known field; allowed: pluginRef
    invalid flowControl.priorityBands of 65 items: must have at most 64, priority 0 among them
    taken
    "#);
    // Of both places the newer one counts.
    let plugins = r#"{"type": "concurrency-detector"}"#;
    let newer = r#""flowControl": {"saturationDetector": {"pluginRef": "concurrency-detector"}}"#;
    let both = format!(r#""saturationDetector": {{"queueDepthThreshold": 9}}, {newer}"#);
    assert_eq!(detector(plugins, &both), detector(plugins, newer));
}

#[test]
fn parameters_are_checked() {
    let say = |(kind, parameters): (&str, &str)| {
        say(&format!(r#"{{"type": "{kind}", "parameters": {{{parameters}}}}}"#), "")
    };
    insta::assert_snapshot!([
        ("utilization-detector", r#""kvCacheUtilThreshold": 0"#),
        ("utilization-detector", r#""kvCacheUtilThreshold": 80"#),
        ("utilization-detector", r#""queueDepthThreshold": 0"#),
        ("utilization-detector", r#""metricsStalenessThreshold": "0s""#),
        ("utilization-detector", r#""stalenessPolicy": "fresh""#),
        ("concurrency-detector", r#""concurrencyMode": "bytes""#),
        ("max-saturation-detector", r#""detectors": []"#),
        ("max-saturation-detector", r#""detectors": ["max-saturation-detector"]"#),
        ("max-saturation-detector", r#""detectors": ["utilization-detector"], "stages": {}"#),
        ("round-robin-fairness-policy", r#""weights": {}"#),
        ("token-fair-fairness-policy", r#""weights": {"a": 0}"#),
        ("priority-holdback-policy", r#""domain": "rank""#),
        ("priority-holdback-policy", r#""minCeiling": 0.9, "maxCeiling": 0.5"#),
        ("priority-holdback-policy", r#""domain": "explicit", "minCeiling": 0.5"#),
        ("priority-holdback-policy", r#""domain": "explicit", "ceilings": {"0": 0.9, "1": 0.5}"#),
        ("weighted-band-selection-policy", r#""floors": {"high": 0.5}"#),
        ("static-usage-limit-policy", r#""threshold": 80"#),
    ].map(say).join("\n"), @r#"
    invalid plugins[0].parameters.kvCacheUtilThreshold 0: must be a number above 0, at most 1
    invalid plugins[0].parameters.kvCacheUtilThreshold 80: must be a number above 0, at most 1
    invalid plugins[0].parameters.queueDepthThreshold 0: must be a whole number from 1 to 4294967295
    invalid plugins[0].parameters.metricsStalenessThreshold "0s": must be a duration above 0
    invalid plugins[0].parameters.stalenessPolicy "fresh": must be a known name; allowed: estimate, saturated, ignore
    invalid plugins[0].parameters.concurrencyMode "bytes": must be a known name; allowed: requests, tokens, hybrid
    invalid plugins[0].parameters.detectors of 0 items: must have 1 or more
    invalid plugins[0].parameters.detectors[0] "max-saturation-detector": must be the name of a listed plugin, as a plugin of this type needs parameters
    invalid plugins[0].parameters.stages: must be left out, as it is not supported yet
    invalid plugins[0].parameters.weights: must be a known field; allowed: none
    invalid plugins[0].parameters.weights.a 0: must be a whole number from 1 to 65535
    invalid plugins[0].parameters.minCeiling: must not be left out
    invalid plugins[0].parameters: minCeiling is 0.9: allowed is below maxCeiling, 0.5
    invalid plugins[0].parameters.minCeiling: must be a known field; allowed: domain, ceilings; invalid plugins[0].parameters.ceilings: must not be left out
    invalid plugins[0].parameters: the ceiling of priority 1 is below that of a lower priority: allowed is the same or higher
    invalid plugins[0].parameters.floors.high: must have a priority as its key, as in "10"
    invalid plugins[0].parameters.threshold 80: must be a number from 0 to 10
    "#);
}

/// Of several gateways before one pool each knows its own requests only: their parts add up to what
/// the pool takes. What goes by the pods' own numbers is the whole pool's.
#[test]
fn a_gateway_s_share_divides_what_counts_its_own_requests() {
    let read = |detector: &str, share: &str| {
        let plugins = r#"
            {"name": "slots", "type": "concurrency-detector", "parameters": {"maxConcurrency": 8}},
            {"name": "both", "type": "max-saturation-detector",
             "parameters": {"detectors": ["slots", "utilization-detector"]}}"#;
        let fields =
            format!(r#""flowControl": {{"saturationDetector": {{"pluginRef": "{detector}"}}}}"#);
        crate::flow::detector(plugins, &format!("{fields}{share}"))
    };
    let third = r#", "gatewayShare": 0.3334"#;
    let limits = |detector| match detector {
        Detector::Concurrency(it) => (it.max_requests, it.max_tokens),
        Detector::Utilization(_) | Detector::Adaptive(_) | Detector::Max(_) => {
            panic!("it is another")
        }
    };
    assert_eq!(limits(read("slots", "").unwrap()), (8, 1_000_000));
    assert_eq!(limits(read("slots", third).unwrap()), (3, 333_400));
    assert_eq!(limits(read("concurrency-detector", third).unwrap()), (34, 333_400));
    assert_eq!(read("utilization-detector", third), read("utilization-detector", ""));
    let children = match read("both", third).unwrap() {
        Detector::Max(children) => children,
        Detector::Concurrency(_) | Detector::Utilization(_) | Detector::Adaptive(_) => {
            panic!("it is another")
        }
    };
    assert_eq!(limits(children[0].clone()), (3, 333_400));
    for wrong in ["0", "1.5", "\"half\"", "-1"] {
        let said = read("slots", &format!(r#", "gatewayShare": {wrong}"#)).unwrap_err().to_string();
        assert!(said.starts_with("invalid gatewayShare "), "{said}");
        assert!(said.ends_with("must be a number above 0, at most 1"), "{said}");
    }
}

#[test]
fn the_adaptive_detector_has_no_thresholds_and_is_none_unless_named() {
    let plugins = r#"{"type": "adaptive-detector", "name": "own"}"#;
    for fields in [
        r#""saturationDetector": {"pluginRef": "own"}"#,
        r#""flowControl": {"saturationDetector": {"pluginRef": "own"}}"#,
        r#""flowControl": {"saturationDetector": {"pluginRef": "adaptive-detector"}}"#,
    ] {
        assert_eq!(
            detector(plugins, fields),
            Ok(Detector::Adaptive(Adaptive::default())),
            "{fields}"
        );
    }
    assert_eq!(detector(plugins, r#""flowControl": {}"#), Ok(Detector::default()));
    let wrong = r#"{"type": "adaptive-detector", "parameters": {"queueDepthThreshold": 5}}"#;
    let said = detector(wrong, r#""flowControl": {}"#).unwrap_err().to_string();
    assert!(said.contains("queueDepthThreshold") && said.contains("ttft, itl"), "{said}");
    let goals = |parameters: &str| {
        let plugins = format!(r#"{{"type": "adaptive-detector", "parameters": {parameters}}}"#);
        let named = r#""flowControl": {"saturationDetector": {"pluginRef": "adaptive-detector"}}"#;
        detector(&plugins, named).map(|it| it.goals()).map_err(|error| error.to_string())
    };
    let asked = goals(r#"{"ttft": "200ms", "itl": "50ms"}"#).unwrap();
    assert_eq!([asked.ttft, asked.itl], [200, 50].map(|ms| Some(Duration::from_millis(ms))));
    assert_eq!(goals(r#"{"itl": "1s"}"#).unwrap().ttft, None);
    let said = goals(r#"{"ttft": "0s"}"#).unwrap_err();
    assert!(said.ends_with("must be a duration above 0"), "{said}");
}

#[test]
fn a_pool_s_own_share_comes_before_the_common_one() {
    let config = r#"{"gatewayShare": 0.5, "pools": [
        {"name": "a", "match": {"model": "a"}, "config": {"saturationDetector": {"pluginRef": "concurrency-detector"}}},
        {"name": "b", "gatewayShare": 0.1, "config": {"saturationDetector": {"pluginRef": "concurrency-detector"}}}]}"#;
    let PluginConfig::Picker(picker) = parse(config.as_bytes()).unwrap() else {
        panic!("a picker")
    };
    let limit = |pool: &PoolConfig| match &pool.scheduler.detector {
        Detector::Concurrency(it) => it.max_requests,
        Detector::Utilization(_) | Detector::Adaptive(_) | Detector::Max(_) => 0,
    };
    assert_eq!(picker.pools.iter().map(limit).collect::<Vec<_>>(), [50, 10]);
}
