//! What the plugin says to its configuration.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use host_mock::{Envoy, Level, Plugin};
use serde_json::json;

use super::{
    push::{Pod, SECRET},
    world::{Way, World, about, builder},
};

/// What is logged, once for all workers.
pub(super) fn refusal(config: &str) -> String {
    let envoy = builder().plugin(Plugin::new("picker", config)).start().unwrap();
    let told = complaints(&envoy);
    let (first, faults) = told.split_first().unwrap();
    assert!(first.starts_with("failed to configure plugin \"picker/picker\": "), "{first}");
    assert!(first.ends_with(&format!("; faults: {}", faults.len())), "{told:?}");
    faults.join("\n    ")
}

/// One of each kind.
const REFUSED: [&str; 28] = [
    r#"{"#,
    r#"[]"#,
    r#"{"apiVersion": "llm-d.ai/v2"}"#,
    r#"{"kind": "Service"}"#,
    r#"{"pluginz": []}"#,
    r#"{"plugins": [{"name": "a"}]}"#,
    r#"{"plugins": [{"type": "queue-scorer", "parameters": {"x": 1}}]}"#,
    r#"{"plugins": [{"type": "queue-scorer"}, {"type": "queue-scorer"}]}"#,
    r#"{"plugins": [{"type": "max-score-picker", "parameters": {"maxNumOfEndpoints": 0}}]}"#,
    r#"{"plugins": [{"type": "queue-scorer"}], "schedulingProfiles": [{"name": "a", "plugins": [{"pluginRef": "queue-scorer", "weight": -1}]}]}"#,
    r#"{"plugins": [{"type": "queue-scorer"}], "schedulingProfiles": [{"name": "a", "plugins": [{"pluginRef": "kv"}]}]}"#,
    r#"{"flowControl": {"maxBytes": "1 GiB"}}"#,
    r#"{"featureGates": ["flowControll"]}"#,
    r#"{"pools": [{"name": "a"}, {"name": "b"}]}"#,
    r#"{"pools": [{"name": "a/b"}]}"#,
    r#"{"envoy": {"hold": "buffer"}}"#,
    r#"{"envoy": {"hold": "bufferFilter"}}"#,
    r#"{"envoy": {"maxBodyBytes": 1.5}}"#,
    r#"{"envoy": {"maxBodyBytes": "8 MiB"}}"#,
    r#"{"failureMode": "open"}"#,
    r#"{"decisionHeader": "yes"}"#,
    r#"{"objectives": [{"name": "a", "priority": 0.5}]}"#,
    r#"{"objectives": [{"name": "a"}, {"name": "a"}]}"#,
    r#"{"identity": {"fairnessHeaders": ["x y"]}}"#,
    r#"{"ingest": {"secretEnv": ""}}"#,
    r#"{"ingest": {"maxBytes": 0}}"#,
    r#"{"ingest": {}, "failureMode": "FailOpen"}"#,
    r#"{"ingest": {"secretEnv": "NO_SUCH_VARIABLE"}}"#,
];

/// Each with its refusal.
fn refusals(configs: &[&str]) -> String {
    let told = configs.iter().map(|config| format!("{config}\n    {}", refusal(config)));
    told.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_is_not_understood_of_a_pull_is_refused_too() {
    let configs = [
        r#"{"pull": {}}"#,
        r#"{"pull": {"cluster": "a", "interval": "50ms"}}"#,
        r#"{"pull": {"cluster": "a", "path": "snapshot"}}"#,
        r#"{"pull": {"cluster": "a", "timeout": "200ms"}}"#,
        r#"{"pull": {"cluster": "a", "secretEnv": "NO_SUCH_VARIABLE"}}"#,
    ];
    insta::assert_snapshot!(refusals(&configs), @r#"
    {"pull": {}}
        invalid pull.cluster: must not be left out
    {"pull": {"cluster": "a", "interval": "50ms"}}
        invalid pull.interval: must be a known field; allowed: cluster, authority, path, timeout, secretEnv, maxBytes
    {"pull": {"cluster": "a", "path": "snapshot"}}
        invalid pull.path "snapshot": must be a path, which begins with a slash and may hold {pool}
    {"pull": {"cluster": "a", "timeout": "200ms"}}
        invalid pull.timeout "200ms": must be from 2s to 60s
    {"pull": {"cluster": "a", "secretEnv": "NO_SUCH_VARIABLE"}}
        pull.secretEnv: found 0 bytes in the environment variable NO_SUCH_VARIABLE; at least 16 are needed, and vm_config.environment_variables must pass it on
    "#);
}

#[test]
fn what_is_not_understood_is_refused_and_said_where() {
    insta::assert_snapshot!(refusals(&REFUSED), @r#"
    {
        invalid configuration: must be JSON: EOF while parsing an object at line 1 column 1
    []
        invalid configuration (a list): must be an object
    {"apiVersion": "llm-d.ai/v2"}
        invalid apiVersion "llm-d.ai/v2": must be a known name; allowed: llm-d.ai/v1, llm-d.ai/v1alpha1, inference.networking.x-k8s.io/v1alpha1
    {"kind": "Service"}
        invalid kind "Service": must be a known name; allowed: EndpointPickerConfig
    {"pluginz": []}
        invalid pluginz: must be a known field; allowed: apiVersion, kind, featureGates, plugins, schedulingProfiles, flowControl, saturationDetector, requestHandler, dataLayer, pools, routeHeaders, gatewayShare, toolsAt, objectives, modelRewrites, identity, envoy, pull, failureMode, decisionHeader, mode
    {"plugins": [{"name": "a"}]}
        invalid plugins[0].type: must not be left out
    {"plugins": [{"type": "queue-scorer", "parameters": {"x": 1}}]}
        invalid plugins[0].parameters.x: must be a known field; allowed: none
    {"plugins": [{"type": "queue-scorer"}, {"type": "queue-scorer"}]}
        invalid plugins[1] "queue-scorer": must have a name that no other plugin has
    {"plugins": [{"type": "max-score-picker", "parameters": {"maxNumOfEndpoints": 0}}]}
        invalid plugins[0].parameters.maxNumOfEndpoints 0: must be a whole number from 1 to 16
    {"plugins": [{"type": "queue-scorer"}], "schedulingProfiles": [{"name": "a", "plugins": [{"pluginRef": "queue-scorer", "weight": -1}]}]}
        invalid schedulingProfiles[0].plugins[0].weight -1: must be a number from 0 to 1000000000
    {"plugins": [{"type": "queue-scorer"}], "schedulingProfiles": [{"name": "a", "plugins": [{"pluginRef": "kv"}]}]}
        invalid schedulingProfiles[0].plugins[0].pluginRef "kv": must be a known name; allowed: queue-scorer
    {"flowControl": {"maxBytes": "1 GiB"}}
        invalid flowControl.maxBytes "1 GiB": must be a number or a quantity such as "1Gi" or "10k", 0 for no limit
    {"featureGates": ["flowControll"]}
        invalid featureGates[0] "flowControll": must be a known name; allowed: flowControl, flowControl=true, flowControl=false
    {"pools": [{"name": "a"}, {"name": "b"}]}
        invalid pools[1]: must not stand behind "a", which has its name or leaves it no request; allowed: pools with names of their own, and one that matches everything as the last
    {"pools": [{"name": "a/b"}]}
        invalid pools[0].name "a/b": must be 1 to 63 of A-Z a-z 0-9 . _ -
    {"envoy": {"hold": "buffer"}}
        invalid envoy.hold "buffer": must be a known name; allowed: stopIteration, bufferFilter
    {"envoy": {"hold": "bufferFilter"}}
        invalid envoy.destination "header": must not go with hold "bufferFilter", as headers can no longer be written once they went on; allowed: property, filterState
    {"envoy": {"maxBodyBytes": 1.5}}
        invalid envoy.maxBodyBytes 1.5: must be bytes as a number or a quantity such as "4Mi" or "10k"
    {"envoy": {"maxBodyBytes": "8 MiB"}}
        invalid envoy.maxBodyBytes "8 MiB": must be bytes as a number or a quantity such as "4Mi" or "10k"
    {"failureMode": "open"}
        invalid failureMode "open": must be a known name; allowed: FailOpen, FailClose
    {"decisionHeader": "yes"}
        invalid decisionHeader "yes": must be true or false
    {"objectives": [{"name": "a", "priority": 0.5}]}
        invalid objectives[0].priority 0.5: must be a whole number of 32 bits
    {"objectives": [{"name": "a"}, {"name": "a"}]}
        invalid objectives[1].name "a": must be a name that no other objective has
    {"identity": {"fairnessHeaders": ["x y"]}}
        invalid identity.fairnessHeaders[0] "x y": must be a header's name
    {"ingest": {"secretEnv": ""}}
        invalid ingest.secretEnv "": must be a string that is not empty
    {"ingest": {"maxBytes": 0}}
        invalid ingest.maxBytes 0: must be bytes as a number or a quantity such as "4Mi" or "10k"
    {"ingest": {}, "failureMode": "FailOpen"}
        invalid failureMode: must be a known field; allowed: ingest
    {"ingest": {"secretEnv": "NO_SUCH_VARIABLE"}}
        ingest.secretEnv: found 0 bytes in the environment variable NO_SUCH_VARIABLE; at least 16 are needed, and vm_config.environment_variables must pass it on
    "#);
}

#[test]
fn a_short_secret_is_refused_and_never_shown() {
    let short = "fifteen bytes..";
    let start = |secret: &str| {
        let ingest = Plugin::new("ingest", r#"{"ingest": {"secretEnv": "SHORT"}}"#);
        builder().env("SHORT", secret).plugin(ingest).start().unwrap()
    };
    let told = complaints(&start(short)).join(" ");
    assert!(told.contains("found 15 bytes in the environment variable SHORT"), "{told}");
    assert!(!told.contains(short), "{told}");
    let envoy = start("just sixteen byt");
    assert!(complaints(&envoy).is_empty(), "{:?}", envoy.logs());
    assert!(complaints(&World::new().envoy).iter().all(|line| !line.contains(SECRET)));
}

/// Istio turns JSON into a protobuf Struct and back, which leaves doubles only.
#[test]
fn numbers_may_be_doubles() {
    let world = World::with(
        Way::STOP_ITERATION_HEADER,
        &json!({
            "plugins": [
                {"type": "queue-scorer"},
                {"type": "prefix-cache-scorer"},
                {"type": "approx-prefix-cache-producer", "parameters": {"maxPrefixTokensToMatch": 131_072.0}},
                {"type": "max-score-picker", "parameters": {"maxNumOfEndpoints": 3.0}}
            ],
            "schedulingProfiles": [{"name": "default", "plugins": [
                {"pluginRef": "queue-scorer", "weight": 2.0},
                {"pluginRef": "prefix-cache-scorer", "weight": 5.0}
            ]}],
            "objectives": [{"name": "paid", "priority": 1e1}],
            "envoy": {"maxBodyBytes": 1e6}
        }),
    );
    world.pods(&[Pod::idle(1)]);
    world.chat(0, &about("rivers"));
    let again = world.chat_with(1, &[("x-llm-d-inference-objective", "paid")], &about("rivers"));
    insta::assert_snapshot!(World::decision(&again), @"endpoint=10.0.0.1:8000;queue=1.00;prefix=1.00;score=7.00;prefix-hit=1.00;prompt-tokens=1408;hit-tokens=1408;backlog-ms=0;expected-ttft-ms=0;candidates=1;snapshot-age-ms=0;priority=10");
    world.is_well();
}

#[test]
fn an_empty_configuration_is_the_epps_own() {
    for config in ["", " ", "{}", r#"{"plugins": null}"#] {
        let picker = Plugin::new("picker", config).allow_on_headers_stop_iteration(true);
        let envoy = builder().plugin(picker).start().unwrap();
        assert!(complaints(&envoy).is_empty(), "{config:?}: {:?}", envoy.logs());
        let none: &[(&str, &str)] = &[];
        let stream = envoy.worker(0).get("/v1/models", none);
        assert_eq!(stream.status(), Some(503), "FailClose is the default");
    }
}

fn complaints(envoy: &Envoy) -> Vec<String> {
    let logs = envoy.logs();
    logs.into_iter().filter(|line| line.level >= Level::Warn).map(|line| line.message).collect()
}
