//! The plugin's configuration for a gate of a known size.

use serde_json::{Value, json};

/// Returns the configuration of a gate of `places` requests a pod, shared out by this fairness
/// policy.
pub(crate) fn gate(places: usize, fairness: &str) -> Value {
    json!({
        "featureGates": ["flowControl"],
        "plugins": [
            {"type": "queue-scorer"}, {"type": "prefix-cache-scorer"}, {"type": "max-score-picker"},
            {"type": "single-profile-handler"}, {"type": fairness},
            {"type": "concurrency-detector", "parameters": {"maxConcurrency": places}}
        ],
        "schedulingProfiles": [{"name": "default", "plugins": [
            {"pluginRef": "queue-scorer", "weight": 2}, {"pluginRef": "prefix-cache-scorer", "weight": 3}
        ]}],
        "flowControl": {
            "defaultRequestTTL": "120s",
            "saturationDetector": {"pluginRef": "concurrency-detector"},
            "defaultPriorityBand": {"fairnessPolicyRef": fairness}
        },
        "failureMode": "FailClose"
    })
}
