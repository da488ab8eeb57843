//! The plugin's configuration.

use wire::config::{PluginConfig, parse};

use crate::mutated;

fn say(json: &str) -> String {
    match parse(json.as_bytes()) {
        Ok(PluginConfig::Picker(picker)) => {
            format!("{} {:?} {:?}", picker.pool, picker.profile, picker.prefix)
        }
        Ok(PluginConfig::Ingest(ingest)) => format!("{ingest:?}"),
        Err(error) => error.to_string(),
    }
}

const PASTED: &str = r#"{
    "apiVersion": "inference.networking.x-k8s.io/v1alpha1", "kind": "EndpointPickerConfig",
    "plugins": [
        {"type": "queue-scorer"}, {"name": "kv", "type": "kv-cache-utilization-scorer"},
        {"type": "prefix-cache-scorer"}, {"type": "max-score-picker", "parameters": {"maxNumOfEndpoints": 2.0}},
        {"type": "single-profile-handler"},
        {"type": "approx-prefix-cache-producer", "parameters": {"blockSizeTokens": 16, "autoTune": false}},
        {"type": "metrics-data-source"}, {"type": "core-metrics-extractor"}, {"type": "openai-parser"}],
    "schedulingProfiles": [{"name": "default", "plugins": [
        {"pluginRef": "queue-scorer", "weight": 2.5}, {"pluginRef": "kv"}, {"pluginRef": "max-score-picker"}]}],
    "requestHandler": {"parsers": [{"pluginRef": "openai-parser"}]},
    "dataLayer": {"sources": [{"pluginRef": "metrics-data-source", "extractors": [{"pluginRef": "core-metrics-extractor"}]}]},
    "objectives": [{"name": "batch", "priority": -1.0}], "failureMode": "FailOpen", "decisionHeader": true,
    "envoy": {"hold": "bufferFilter", "destination": "property", "maxBodyBytes": "1Mi"}}"#;

#[test]
fn an_epp_configuration_is_pasted_whole() {
    insta::assert_snapshot!(say(PASTED), @"");
    let wrapped =
        r#"{"pools": [{"name": "a", "config": {"plugins": [{"type": "queue-scorer"}]}}]}"#;
    insta::assert_snapshot!(say(wrapped), @"");
}

#[test]
fn nothing_at_all_is_the_epp_default() {
    assert_eq!(parse(b""), parse(b"{}"));
    insta::assert_debug_snapshot!(parse(b"{}").unwrap(), @"");
}

#[test]
fn an_ingest_instance_has_nothing_else() {
    insta::assert_snapshot!([
        say(r#"{"ingest": {}}"#),
        say(r#"{"ingest": {"secretEnv": "S", "maxBytes": "10k"}}"#),
        say(r#"{"ingest": {}, "plugins": []}"#),
    ].join("\n"), @"");
}

#[test]
fn errors_say_where_what_and_what_is_allowed() {
    insta::assert_snapshot!([
        r#"{"plugins": [{"type": "queue-scorer"}, {"type": "foo-scorer"}]}"#,
        r#"{"plugins": [{"type": "queue-scorer", "parameters": {"x": 1}}]}"#,
        r#"{"plugins": [{"name": "a"}]}"#,
        r#"{"plugins": [{"type": "queue-scorer"}, {"type": "queue-scorer"}]}"#,
        r#"{"plugins": [{"type": "max-score-picker", "parameters": {"maxNumOfEndpoints": 1.5}}]}"#,
        r#"{"plugins": [{"type": "queue-scorer"}], "schedulingProfiles": [{"plugins": [{"pluginRef": "kv"}]}]}"#,
        r#"{"plugins": [{"type": "queue-scorer"}], "schedulingProfiles": [{"plugins": [{"pluginRef": "queue-scorer", "weight": -1}]}]}"#,
        r#"{"schedulingProfiles": [{}, {}]}"#,
        r#"{"pools": [{}, {}]}"#,
        r#"{"pools": [{"name": "a b"}]}"#,
        r#"{"pools": [{"name": "a", "config": {"flowControl": {}}}]}"#,
        r#"{"pools": [{}], "plugins": []}"#,
        r#"{"flowControl": {"maxRequests": "10k"}}"#,
        r#"{"featureGates": ["flowControl"]}"#,
        r#"{"envoy": {"hold": "bufferFilter"}}"#,
        r#"{"envoy": {"hold": "maybe"}}"#,
        r#"{"failuremode": "FailOpen"}"#,
        r#"{"apiVersion": "v2"}"#,
        r#"{"objectives": [{"name": "a", "priority": 3e9}]}"#,
        r#"{"identity": {"fairnessHeaders": ["a b"]}}"#,
        r"[1]",
        r"{",
    ].map(say).join("\n"), @"");
}

#[test]
fn broken_configurations_never_panic() {
    arbtest::arbtest(|u| {
        let _ = parse(&mutated(u, PASTED.as_bytes())?);
        let any: Vec<u8> = u.arbitrary()?;
        let _ = parse(&any);
        Ok(())
    });
}
