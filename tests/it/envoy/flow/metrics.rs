//! What a scrape of Envoy says of flow control: names and labels as the EPP's dashboards want them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::json;
use stack::{Stack, Way};

use super::{
    crowd::{Client, gated, is_quiet, pods, until_held},
    pod::PatientPod,
};
use crate::envoy::world::tell;

async fn scrape(stack: &Stack) -> String {
    let page = stack::get(stack.admin, "/stats/prometheus").await.unwrap().body;
    let ours = page.lines().filter(|line| line.contains("llm_d_epp_flow_control_"));
    // Which bucket a wait falls into is up to the machine.
    let stable = ours.filter(|line| !line.contains("_milliseconds_"));
    let mut lines: Vec<&str> = stable.collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// The bootstraps of all ways have the same tags.
#[tokio::test]
async fn labels_are_labels_in_every_way() {
    for way in Way::ALL {
        let pod = PatientPod::start().await;
        tell(gated(&[pod.address], &json!({})).way(way), async |stack| {
            pods(stack, 1, &[pod.address]).await;
            let mut asked = vec![Client::named("first").ask(stack)];
            let running = pod.next().await;
            let ann = Client { tenant: "ann@example.com", ..Client::default() };
            let bob = Client { tenant: "bob", objective: "high", ..Client::default() };
            asked.extend(ann.ask_times(stack, 3));
            asked.extend(bob.ask_times(stack, 2));
            until_held(stack, 5).await;
            let page = scrape(stack).await;
            insta::allow_duplicates! {
                insta::assert_snapshot!(page, @r#"
                # TYPE llm_d_epp_flow_control_pool_saturation_thousandths gauge
                # TYPE llm_d_epp_flow_control_queue_bytes gauge
                # TYPE llm_d_epp_flow_control_queue_size gauge
                # TYPE llm_d_epp_flow_control_request_queue_duration_milliseconds histogram
                # TYPE llm_d_epp_flow_control_requests_total counter
                llm_d_epp_flow_control_pool_saturation_thousandths{inference_pool="default"} 1000
                llm_d_epp_flow_control_queue_bytes{inference_pool="default",priority="0",fairness_id="ann@example.com"} 234
                llm_d_epp_flow_control_queue_bytes{inference_pool="default",priority="100",fairness_id="bob"} 156
                llm_d_epp_flow_control_queue_size{inference_pool="default",priority="0",fairness_id="ann@example.com"} 3
                llm_d_epp_flow_control_queue_size{inference_pool="default",priority="100",fairness_id="bob"} 2
                llm_d_epp_flow_control_requests_total{outcome="Dispatched",inference_pool="default",priority="0"} 1
                "#);
            }
            running.answer();
            pod.answer_next(5).await;
            for reply in asked {
                assert_eq!(reply.await.unwrap().status, 200);
            }
            is_quiet(stack, &pod).await;
        })
        .await;
    }
}
