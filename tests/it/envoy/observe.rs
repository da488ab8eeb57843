//! The picker looks on in a real Envoy, which balances by itself.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic, and says where it was")]

use std::net::SocketAddr;

use serde_json::json;
use stack::{Stack, Way};

use super::{client::chat, world};

/// Requests of the story.
const REQUESTS: u64 = 12;

/// Adds up the series of a counter on the scraper's page that have this label.
async fn counted(status: SocketAddr, family: &str, label: &str) -> u64 {
    let page = stack::get(status, "/metrics").await.unwrap().body;
    let series = page.lines().filter(|line| line.starts_with(family) && line.contains(label));
    series.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn what_envoy_does_by_itself_is_counted_beside_the_choice() {
    let detector = "concurrency-detector";
    let plugin = json!({
        "mode": "observe",
        "featureGates": ["flowControl"],
        "plugins": [{"type": detector, "parameters": {"maxConcurrency": 1}}],
        "flowControl": {"saturationDetector": {"pluginRef": detector}},
    });
    for way in [Way::STOP_ITERATION_HEADER, Way::BUFFER_FILTER_PROPERTY] {
        let story = async |stack: &mut Stack| {
            for number in 0..REQUESTS {
                let reply = chat(stack.gateway, &format!("request {number}")).await;
                assert_eq!(reply.status, 200, "{way}: {reply:?}");
            }
            let status = stack.status.unwrap();
            let observed =
                async |label: &str| counted(status, "llm_picker_observed_total", label).await;
            world::until(async || (observed("choice=").await == REQUESTS).then_some(())).await;
            let (same, other) = (observed("\"same\"").await, observed("\"other\"").await);
            assert_eq!(same + other, REQUESTS, "{way}: Envoy says where each went");
            assert!(other > 0, "{way}: by chance it is not always the same");
        };
        let builder = world::stack().endpoints(4).way(way).plugin(plugin.clone());
        world::tell(builder, story).await;
    }
}
