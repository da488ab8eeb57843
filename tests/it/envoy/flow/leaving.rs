//! Clients that leave while they wait.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::json;

use super::{
    crowd::{Client, gated, is_quiet, pods, until_held},
    pod::PatientPod,
};
use crate::envoy::world::{active_requests, tell, until};

#[tokio::test]
async fn nobody_waits_for_who_left() {
    let pod = PatientPod::start().await;
    tell(gated(&[pod.address], &json!({})), async |stack| {
        pods(stack, 1, &[pod.address]).await;
        let first = Client::named("first").ask(stack);
        let running = pod.next().await;
        let leaving = Client::named("leaves").ask_times(stack, 20);
        until_held(stack, 20).await;
        let staying = Client::named("stays").ask_times(stack, 10);
        until_held(stack, 30).await;
        leaving.iter().for_each(tokio::task::JoinHandle::abort);
        until_held(stack, 10).await;
        until(async || (active_requests(stack).await == 11).then_some(())).await;

        running.answer();
        assert_eq!(pod.answer_next(10).await, ["stays"; 10]);
        for reply in staying.into_iter().chain([first]) {
            assert_eq!(reply.await.unwrap().status, 200);
        }
        is_quiet(stack, &pod).await;
    })
    .await;
}

/// They leave while the queue drains, some of them just as they are sent on.
#[tokio::test]
async fn nor_for_who_leaves_in_the_rush() {
    let pod = PatientPod::start().await;
    tell(gated(&[pod.address], &json!({})), async |stack| {
        pods(stack, 1, &[pod.address]).await;
        let first = Client::named("first").ask(stack);
        let running = pod.next().await;
        let asked = Client::named("anyone").ask_times(stack, 100);
        until_held(stack, 100).await;
        running.answer();
        let (staying, leaving): (Vec<_>, Vec<_>) =
            asked.into_iter().enumerate().partition(|(n, _)| n % 2 == 0);
        let answering = async {
            loop {
                pod.next().await.answer();
            }
        };
        let reading = async {
            for (_, client) in leaving {
                client.abort();
                tokio::task::yield_now().await;
            }
            for (_, client) in staying {
                assert_eq!(client.await.unwrap().status, 200);
            }
            assert_eq!(first.await.unwrap().status, 200);
            until(async || (active_requests(stack).await == 0).then_some(())).await;
        };
        tokio::select! {
            () = answering => (),
            () = reading => (),
        }
        is_quiet(stack, &pod).await;
    })
    .await;
}
