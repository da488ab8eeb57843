//! The gates that the load is put before.

use serde_json::{Value, json};

/// A way to decide admission.
#[derive(Clone, Copy, Debug)]
pub(super) enum Gate {
    /// Flow control, by the EPP's default detector.
    Utilization,
    /// Flow control, by requests in flight: a place is a seat.
    Concurrency,
    /// No flow control.
    Off,
}

impl Gate {
    /// All gates, in the order of the table.
    pub(super) const ALL: [Self; 3] = [Self::Utilization, Self::Concurrency, Self::Off];

    /// Returns the name in the table.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Utilization => "utilization-detector",
            Self::Concurrency => "concurrency-detector, 8 a pod",
            Self::Off => "off",
        }
    }

    /// Returns the plugin's configuration.
    pub(super) fn plugin(self) -> Value {
        let detector = match self {
            Self::Utilization => json!({"type": "utilization-detector"}),
            Self::Concurrency => {
                json!({"type": "concurrency-detector", "parameters": {"maxConcurrency": 8}})
            }
            Self::Off => Value::Null,
        };
        let mut plugin = json!({
            "plugins": [
                {"type": "queue-scorer"}, {"type": "kv-cache-utilization-scorer"}, {"type": "prefix-cache-scorer"},
                {"type": "max-score-picker"}, {"type": "single-profile-handler"}
            ],
            "schedulingProfiles": [{"name": "default", "plugins": [
                {"pluginRef": "queue-scorer", "weight": 2},
                {"pluginRef": "kv-cache-utilization-scorer", "weight": 2},
                {"pluginRef": "prefix-cache-scorer", "weight": 3}
            ]}],
            "objectives": [{"name": "high", "priority": 100}, {"name": "low", "priority": 10}],
            "failureMode": "FailClose"
        });
        if let (Some(kind), Some(object)) = (detector.get("type").cloned(), plugin.as_object_mut())
        {
            object.insert("featureGates".to_owned(), json!(["flowControl"]));
            let flow =
                json!({"defaultRequestTTL": "60s", "saturationDetector": {"pluginRef": kind}});
            object.insert("flowControl".to_owned(), flow);
            let plugins = object.get_mut("plugins").and_then(Value::as_array_mut);
            plugins.into_iter().for_each(|plugins| plugins.push(detector.clone()));
        }
        plugin
    }
}
