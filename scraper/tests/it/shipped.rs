//! Configurations that llm-d, the Gateway API Inference Extension and KServe shipped, release by release, as they stand there:
//! each is taken, or refused with a reason.

use std::{collections::BTreeSet, fs};

use scraper::migrate_plugin;
use serde_json::Value;
use wire::config::{ConfigError, parse_noted};

use crate::older::{leaves, parsed, silent};

/// Returns every configuration, with where it is from.
fn shipped() -> Vec<(String, Value)> {
    let path = format!("{}/tests/data/shipped.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(path).unwrap();
    let one = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        (line["from"].as_str().unwrap().to_owned(), line["config"].take())
    };
    let all: Vec<_> = text.lines().map(one).collect();
    assert_eq!(all.len(), 122, "a new one is to be counted");
    all
}

/// Faults of a configuration, without their places, which differ from file to file, and without lists of allowed names.
fn faults(config: &Value) -> Vec<String> {
    let Err(refused) = parsed(config).read else { return Vec::new() };
    let one = |fault: &ConfigError| {
        let text = fault.to_string();
        let text = text.split("; allowed:").next().unwrap();
        text.replacen(&fault.path, "", 1).replacen("invalid ", "", 1).trim().to_owned()
    };
    refused.faults().iter().map(one).collect()
}

/// A reason names what to do instead, or why there is none.
#[test]
fn what_is_refused_is_refused_with_a_reason() {
    let all: BTreeSet<_> = shipped().iter().flat_map(|(_, config)| faults(config)).collect();
    let all: Vec<_> = all.into_iter().collect();
    insta::assert_snapshot!(all.join("\n"), @r#"
    "agent-identity": must be another type: identity.fairnessHeaders may name the header of a session
    "burst-prefix-cache-producer": must be another type: every placement counts before the next decision, so a burst needs no window; use approx-prefix-cache-producer
    "config.apix.gateway-api-inference-extension.sigs.k8s.io/v1alpha1": must be a known name
    "custom-scorer": must be a known name
    "dcgm-data-source": must be another type: pods alone are scraped; the scraper's engineConfigs[].customMetrics take any metric of theirs
    "dcgm-extractor": must be another type: pods alone are scraped; the scraper's engineConfigs[].customMetrics take any metric of theirs
    "destination-endpoint-served-verifier": must be another type: it is for the EPP's own tests of conformance
    "disaggregatedset-rollout-screener": must be another type: revisions of a rollout are not told apart; label-selector-filter keeps to one
    "header-based-testing-filter": must be another type: it is for the EPP's own tests of conformance
    "mm-embeddings-cache-producer": must be another type: what encoders have cached is not followed
    "mm-embeddings-cache-scorer": must be another type: what encoders have cached is not followed
    "multicluster-file-discovery": must be another type: the pods of other clusters are not followed
    "multicluster-kv-cache-utilization-scorer": must be another type: the pods of other clusters are not followed
    "multicluster-metrics-data-source": must be another type: the pods of other clusters are not followed
    "multicluster-metrics-extractor": must be another type: the pods of other clusters are not followed
    "multicluster-queue-scorer": must be another type: the pods of other clusters are not followed
    "multicluster-session-affinity-filter": must be another type: the pods of other clusters are not followed
    "precise-prefix-cache-producer": must be another type: engines' KV events come over ZMQ, which a filter in Envoy cannot read; use prefix-cache-scorer with approx-prefix-cache-producer
    "precise-prefix-cache-scorer": must be another type: engines' KV events come over ZMQ, which a filter in Envoy cannot read; use prefix-cache-scorer with approx-prefix-cache-producer
    "predicted-latency-scorer": must be another type: use latency-scorer
    "prefix-cache-scorer": must be the name of a listed plugin; plugins has none of this name: add {"type": "prefix-cache-scorer"}
    "program-aware-fairness": must be another type: use token-fair-fairness-policy
    "request-attribute-reporter": must be another type: no attributes are reported; tokens are in the metrics
    "vertexai-parser": must be another type: bodies of protobuf are not read, and go by load
    "vllmgrpc-parser": must be another type: bodies of protobuf are not read, and go by load
    : must be left out, as it is not supported yet
    : must not go by the prefixes of "approx-prefix-cache-producer" beside those of "precise-prefix-cache-producer"
    configuration: must have a profile named "decode", which is the decode profile; has default
    "#);
}

#[test]
fn most_are_taken_whole() {
    let all = shipped();
    let taken = all.iter().filter(|(_, config)| parsed(config).read.is_ok()).count();
    assert_eq!((taken, all.len()), (74, 122));
}

#[test]
fn every_parameter_of_those_arrives_or_is_named() {
    let taken = shipped().into_iter().filter(|(_, config)| parsed(config).read.is_ok());
    let silent: Vec<_> = taken.flat_map(|(name, config)| silent(&name, &config)).collect();
    // A name that nothing refers to means nothing.
    let silent: Vec<_> = silent.into_iter().filter(|it| !it.ends_with("].name")).collect();
    assert_eq!(silent.join("\n"), "");
}

/// Also of what is refused as it stands: `migrate` leaves out what has no place and says so, and what it writes is taken.
#[test]
fn migration_loses_no_parameter_in_silence() {
    let (mut silent, mut refused) = (Vec::new(), Vec::new());
    for (name, config) in shipped() {
        let migrated = match migrate_plugin(&config.to_string()) {
            Ok(migrated) => migrated,
            Err(why) => {
                assert!(why.contains("not carried over as a whole"), "{why}");
                refused.push(name);
                continue;
            }
        };
        let after: Value = serde_json::from_str(&migrated.text).unwrap();
        let notes = migrated.notes.join("\n");
        for plugin in config["plugins"].as_array().unwrap() {
            let mut found = Vec::new();
            leaves(&plugin["parameters"], "", "", &mut found);
            for (path, pointer) in found {
                let pointer = format!("/parameters{pointer}");
                let is_kept = |kept: &Value| {
                    kept["type"] == plugin["type"]
                        && kept.pointer(&pointer) == plugin.pointer(&pointer)
                };
                // A parameter that holds others is named as a whole.
                let key = path.split(['.', '[']).next().unwrap();
                let arrives = after["plugins"].as_array().unwrap().iter().any(is_kept);
                if !path.is_empty() && !arrives && !notes.contains(key) {
                    silent.push(format!("{name}: {} {path}", plugin["type"]));
                }
            }
        }
        if let Err(why) = parse_noted(migrated.text.as_bytes()).read {
            silent.push(format!("{name}: {why}"));
        }
    }
    assert_eq!(silent.join("\n"), "");
    // As a whole, with a reason too.
    insta::assert_snapshot!(refused.join("\n"), @"
    llm-d-inference-scheduler v0.6.1 docs/architecture.md:229
    llm-d-inference-scheduler v0.7.1 docs/architecture.md:270
    ");
}
