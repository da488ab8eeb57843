//! A pool that empties and comes back, or does not.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::json;

use super::{
    crowd::{Client, gated, is_quiet, pods, until_held},
    pod::PatientPod,
};
use crate::envoy::world::tell;

#[tokio::test]
async fn they_wait_for_it_to_come_back() {
    let pod = PatientPod::start().await;
    tell(gated(&[pod.address], &json!({"noEndpointRequestTTL": "50s"})), async |stack| {
        pods(stack, 1, &[pod.address]).await;
        let first = Client::named("first").ask(stack);
        let running = pod.next().await;
        let mut asked = Client::named("before").ask_times(stack, 5);
        until_held(stack, 5).await;
        pods(stack, 2, &[]).await;
        asked.extend(Client::named("while").ask_times(stack, 5));
        until_held(stack, 10).await;
        // What was on its way is served; its end opens no place in a pool that is gone.
        running.answer();
        assert_eq!(first.await.unwrap().status, 200);
        assert!(pod.is_idle().await);

        pods(stack, 3, &[pod.address]).await;
        let order = pod.answer_next(10).await;
        assert_eq!(order, [["before"; 5], ["while"; 5]].concat());
        for reply in asked {
            assert_eq!(reply.await.unwrap().status, 200);
        }
        is_quiet(stack, &pod).await;
    })
    .await;
}

#[tokio::test]
async fn or_are_told_that_it_does_not() {
    let pod = PatientPod::start().await;
    tell(gated(&[pod.address], &json!({"noEndpointRequestTTL": "300ms"})), async |stack| {
        pods(stack, 1, &[]).await;
        for reply in Client::named("asks").ask_times(stack, 5) {
            let reply = reply.await.unwrap();
            assert_eq!(reply.status, 503, "{reply:?}");
            let reason = reply.header("x-llm-d-request-dropped-reason");
            assert_eq!(reason, Some("rejected-no-endpoints"));
            assert_eq!(reply.header("retry-after"), None);
        }
        pods(stack, 2, &[pod.address]).await;
        is_quiet(stack, &pod).await;
    })
    .await;
}
