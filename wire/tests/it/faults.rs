//! All faults of a configuration at once, and the requests that it was meant for.

use wire::config::{Claims, FailureMode, parse};

/// The refusal, fault by fault, and the claims.
fn said(json: &str) -> String {
    let refused = parse(json.as_bytes()).unwrap_err();
    let faults: Vec<String> = refused.faults().iter().map(ToString::to_string).collect();
    let Claims { failure_mode, matches, .. } = Claims::of(json.as_bytes());
    let claims: Vec<String> = matches
        .iter()
        .map(|rule| match (&rule.cluster, &rule.path_prefix, &rule.models[..]) {
            (None, None, []) => "everything".to_owned(),
            (cluster, path, models) => format!("{cluster:?} {path:?} {models:?}"),
        })
        .collect();
    format!("{}\nclaims: {failure_mode:?} of [{}]", faults.join("\n"), claims.join(", "))
}

#[test]
fn every_fault_is_told_and_none_that_follows_from_another() {
    let json = r#"{
        "plugins": [
            {"type": "queu-scorer", "name": "queue"},
            {"type": "kv-cache-utilization-scorer", "parameters": {"x": 1, "y": 2}},
            {"type": "max-score-picker", "parameters": {"maxNumOfEndpoints": 0}}
        ],
        "schedulingProfiles": [{"name": "default", "plugins": [
            {"pluginRef": "queue", "weight": -1},
            {"pluginRef": "kv-cache-utilization-scorer"},
            {"pluginRef": "queue"},
            {"pluginRef": "nothing"}
        ]}],
        "featureGates": ["flowControll"],
        "flowControl": {"maxBytes": "1 GiB", "priorityBands": [{"priority": 0.5}, {"prority": 1}]},
        "objectives": [{"name": "a", "priority": 0.5}, {"name": "b"}, {"name": "b"}],
        "identity": {"fairnessHeaders": ["x y"], "strip": "no"},
        "envoy": {"hold": "buffer", "maxBodyBytes": 1.5},
        "failureMode": "FailClose",
        "decisionHeder": true
    }"#;
    insta::assert_snapshot!(shortened(&said(json)), @r#"
    invalid decisionHeder: must be a known field; allowed: apiVersion, kind, featureGates, plugins, schedulingProfiles, flowControl, saturationDetector, requestHandler, dataLayer, pools, routeHeaders, gatewayShare, toolsAt, objectives, modelRewrites, identity, envoy, pull, failureMode, decisionHeader, mode
    invalid objectives[0].priority 0.5: must be a whole number of 32 bits
    invalid objectives[2].name "b": must be a name that no other objective has
    invalid featureGates[0] "flowControll": must be a known name; allowed: flowControl, flowControl=true, flowControl=false
    invalid plugins[0].type "queu-scorer": must be a known name; allowed: …
    invalid plugins[1].parameters.x: must be a known field; allowed: none
    invalid plugins[1].parameters.y: must be a known field; allowed: none
    invalid plugins[2].parameters.maxNumOfEndpoints 0: must be a whole number from 1 to 16
    invalid flowControl.maxBytes "1 GiB": must be a number or a quantity such as "1Gi" or "10k", 0 for no limit
    invalid flowControl.priorityBands[0].priority 0.5: must be a whole number of 32 bits
    invalid flowControl.priorityBands[1].prority: must be a known field; allowed: maxBytes, maxRequests, defaultRequestTTL, fairnessPolicyRef, orderingPolicyRef, priority
    invalid flowControl.priorityBands[1].priority: must not be left out
    invalid schedulingProfiles[0].plugins[0].weight -1: must be a number from 0 to 1000000000
    invalid schedulingProfiles[0].plugins[3].pluginRef "nothing": must be a known name; allowed: kv-cache-utilization-scorer, max-score-picker
    invalid envoy.hold "buffer": must be a known name; allowed: stopIteration, bufferFilter
    invalid envoy.maxBodyBytes 1.5: must be bytes as a number or a quantity such as "4Mi" or "10k"
    invalid identity.fairnessHeaders[0] "x y": must be a header's name
    invalid identity.strip "no": must be true or false
    claims: Some(FailClose) of [everything]
    "#);
}

#[test]
fn of_three_pools_one_may_be_faulty_and_two_claim_their_requests() {
    let json = r#"{"failureMode": "FailClose", "pools": [
        {"name": "a", "match": {"cluster": "a", "pathPrefix": "/a"}},
        {"name": "b", "match": {"clustr": "b"}, "config": {"plugins": [{"type": "queu-scorer"}]}},
        {"name": "c", "match": {"model": ["m", "n"]}, "config": {"kind": "Service"}}
    ]}"#;
    insta::assert_snapshot!(shortened(&said(json)), @r#"
    invalid pools[1].match.clustr: must be a known field; allowed: cluster, host, pathPrefix, model
    invalid pools[1].config.plugins[0].type "queu-scorer": must be a known name; allowed: …
    invalid pools[2].config.kind "Service": must be a known name; allowed: EndpointPickerConfig
    claims: Some(FailClose) of [Some("a") Some("/a") [], None None ["m", "n"]]
    "#);
}

/// Without the long list of all plugin types.
fn shortened(said: &str) -> String {
    let line = |line: &str| match line.split_once("allowed: prefix-cache-scorer, queue-scorer") {
        Some((start, _)) => format!("{start}allowed: …"),
        None => line.to_owned(),
    };
    said.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn claims_are_what_can_be_read() {
    let claims = |json: &str| Claims::of(json.as_bytes());
    for unreadable in ["{", "[]", r#""text""#, "7"] {
        assert_eq!(claims(unreadable), Claims::default(), "{unreadable}");
    }
    let not_utf8 = b"{\"failureMode\": \"FailClose\", \"x\": \"\xff\"}";
    assert_eq!(Claims::of(not_utf8), Claims::default());
    let too_large = format!(r#"{{"failureMode": "FailClose", "x": "{}"}}"#, "x".repeat(1 << 20));
    assert_eq!(claims(&too_large), Claims::default());
    assert_eq!(
        claims("\u{feff}{\"failureMode\": \"FailOpen\", \"x\": 1, \"x\": 2}").failure_mode,
        Some(FailureMode::FailOpen)
    );
    assert_eq!(claims(r#"{"failureMode": "open"}"#).failure_mode, None);
    assert_eq!(claims(r#"{"pools": {}}"#).matches, []);
    assert_eq!(claims(r#"{"x": 1}"#).matches.len(), 1);
}

#[test]
fn a_file_of_another_kind_has_not_more_faults_than_can_be_read() {
    let members: Vec<String> = (0..1000).map(|n| format!(r#""k{n}": 1"#)).collect();
    let refused = parse(format!("{{{}}}", members.join(",")).as_bytes()).unwrap_err();
    assert_eq!(refused.faults().len(), 32);
}
