//! Who asks, as Kuadrant's authentication leaves it in the headers.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::{Value, json};
use stack::Stack;

use super::{fixture::Kustomization, versions};
use crate::envoy::{client::chat_with, world};

const OBJECTIVE: &str = "x-gateway-inference-objective";
const FAIRNESS: &str = "x-gateway-inference-fairness-id";
/// The name that newer EPPs look at first, and that no AuthPolicy sets.
const NEWER: &str = "x-llm-d-inference-objective";

/// A caller, the objective that authentication gives it, and the priority that this is worth.
const CALLERS: [(&str, &str, i32); 4] = [
    ("anonymous", "unauthenticated", -10),
    ("a user", "authenticated", 5),
    ("a service account, by its namespace", "sa-high-prio", 100),
    ("a service account without an objective", "sa-unknown", 0),
];

/// Flow control counts requests by priority, which shows what was believed.
fn keys() -> Value {
    let objectives =
        CALLERS[..3].iter().map(|(_, name, priority)| json!({"name": name, "priority": priority}));
    json!({"featureGates": ["flowControl"], "objectives": objectives.collect::<Vec<_>>()})
}

async fn served(stack: &Stack, priority: i32) -> u64 {
    let page = stack::get(stack.status.unwrap(), "/metrics").await.unwrap().body;
    let of_priority = format!("priority=\"{priority}\"");
    let is_wanted = |line: &&str| {
        line.starts_with("llm_d_epp_flow_control_requests_total{") && line.contains(&of_priority)
    };
    let lines = page.lines().filter(is_wanted);
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// Tells that each caller gets its own priority, whatever it says of itself.
async fn believe_authentication_only(kustomization: Kustomization, forged_first: bool) {
    let template = kustomization.template(&keys());
    let builder = versions::stack(None).way(kustomization.way).template(template).endpoints(1);
    world::tell(builder, async |stack| {
        for (who, objective, priority) in CALLERS {
            let before = served(stack, priority).await;
            let mut headers = vec![(NEWER, "sa-high-prio".to_owned())];
            if forged_first {
                headers.push((OBJECTIVE, "sa-high-prio".to_owned()));
                headers.push((FAIRNESS, "somebody-else".to_owned()));
            }
            headers.push((OBJECTIVE, objective.to_owned()));
            headers.push((FAIRNESS, "https://kubernetes.default.svc".to_owned()));
            let reply = chat_with(stack.gateway, "hello", &headers).await;
            assert_eq!(reply.status, 200, "{who}: {reply:?}");
            let is_counted = async || (served(stack, priority).await == before + 1).then_some(());
            world::until(is_counted).await;
        }
    })
    .await;
}

/// Up to 1.4 it appends its own behind what the client sent.
#[tokio::test]
async fn behind_kuadrant_1_4_the_last_value_counts() {
    believe_authentication_only(Kustomization::KUADRANT_1_4, true).await;
}

/// From 1.5 on it replaces what the client sent; a header that it does not know stays.
#[tokio::test]
async fn behind_kuadrant_1_5_only_its_own_headers_count() {
    believe_authentication_only(Kustomization::KUADRANT_1_5, false).await;
}
