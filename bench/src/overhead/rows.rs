//! The Envoys that are compared.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use stack::{Builder, Programs, Stack, Way};

/// One Envoy, for as long as the bench lasts.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) stack: Stack,
}

impl Row {
    /// All of them, the plain one first.
    pub(super) async fn start_all(programs: &Programs, pods: &[SocketAddr]) -> Result<Vec<Self>> {
        let stack = || Stack::builder(programs.clone()).upstreams(pods.to_vec()).workers(2);
        let picker = |way| stack().way(way).plugin(plugin(false));
        let builders: [(&str, Builder); 4] = [
            ("plain Envoy", stack().without_filter()),
            ("picker", picker(Way::StopIterationHeader)),
            (
                "picker, flow control on, gate open",
                picker(Way::StopIterationHeader).plugin(plugin(true)),
            ),
            ("picker, buffer filter, filter state", picker(Way::BufferFilterFilterState)),
        ];
        let mut rows = Vec::new();
        for (name, builder) in builders {
            let stack = builder.start().await.context(name)?;
            rows.push(Self { name, stack });
        }
        Ok(rows)
    }
}

/// The scorers of the EPP's default, with or without flow control and its default saturation detector, which idle pods
/// never close. A request that cannot be placed fails, so that nobody takes passing it through for placing it.
fn plugin(flow_control: bool) -> Value {
    json!({
        "featureGates": if flow_control { vec!["flowControl"] } else { vec![] },
        "plugins": [
            {"type": "queue-scorer"}, {"type": "kv-cache-utilization-scorer"}, {"type": "prefix-cache-scorer"},
            {"type": "max-score-picker"}, {"type": "single-profile-handler"}
        ],
        "schedulingProfiles": [{"name": "default", "plugins": [
            {"pluginRef": "queue-scorer", "weight": 2},
            {"pluginRef": "kv-cache-utilization-scorer", "weight": 2},
            {"pluginRef": "prefix-cache-scorer", "weight": 3}
        ]}],
        "failureMode": "FailClose",
        "decisionHeader": true
    })
}
