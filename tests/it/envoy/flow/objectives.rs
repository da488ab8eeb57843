//! Objectives that come and change by snapshot, as from Kubernetes, while workers serve, tick and hold requests.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use serde_json::{Value, json};
use stack::Builder;
use tokio::time::sleep;

use super::{
    crowd::{self, Client, gate, is_quiet, until_held},
    pod::PatientPod,
};
use crate::envoy::{
    client,
    push::objectives,
    world::{self, CONNECTIONS, tell},
};

/// Workers without a held request tick once a second: within this each has.
const A_TICK: Duration = Duration::from_millis(1_200);

/// The same pool as in the other stories, with no objective in the configuration.
fn gated(pod: &PatientPod) -> Builder {
    let Value::Object(mut plugin) = gate(1, &json!({})) else { unreachable!("it is an object") };
    plugin.remove("objectives");
    crowd::gated(&[pod.address], &json!({})).plugin(Value::Object(plugin))
}

#[tokio::test]
async fn snapshots_change_them_between_ticks_and_while_requests_are_held() {
    let pod = PatientPod::start().await;
    tell(gated(&pod), async |stack| {
        let pods = [pod.address];
        objectives(stack, 1, &pods, &[("urgent", 5)]).await;
        let first = Client::named("first").ask(stack);
        let running = pod.next().await;
        let urgent = Client { name: "urgent", objective: "urgent", ..Client::default() };
        let plain = Client::named("plain");
        let mut asked = vec![first];
        asked.extend(plain.ask_times(stack, 3));
        until_held(stack, 3).await;
        asked.extend(urgent.ask_times(stack, 3));
        until_held(stack, 6).await;
        for (sequence, priority) in [(2, 7), (3, -2), (4, 9)] {
            objectives(stack, sequence, &pods, &[("other", 1), ("urgent", priority)]).await;
            sleep(A_TICK).await;
        }
        running.answer();
        let order = pod.answer_next(6).await;
        assert_eq!(order, [["urgent"; 3], ["plain"; 3]].concat());
        for reply in asked {
            assert_eq!(reply.await.unwrap().status, 200);
        }
        is_quiet(stack, &pod).await;
    })
    .await;
}

#[tokio::test]
async fn snapshots_change_them_while_nobody_asks() {
    tell(world::stack().workers(2).without_scraper(), async |stack| {
        let pods: Vec<_> = stack.pods.iter().map(|pod| pod.addr).collect();
        for (sequence, priority) in [(1, 5), (2, 7), (3, -1)] {
            objectives(stack, sequence, &pods, &[("urgent", priority)]).await;
            // No request names it, so that a tick is the first to look.
            for _ in 0..CONNECTIONS / 4 {
                assert_eq!(client::chat(stack.gateway, "hello").await.status, 200);
            }
            sleep(A_TICK).await;
        }
    })
    .await;
}
