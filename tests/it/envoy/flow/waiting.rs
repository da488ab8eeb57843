//! Many that wait, for long or not.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::{Duration, Instant};

use serde_json::json;

use super::{
    crowd::{Client, gated, is_quiet, pods, until_held, waited},
    pod::PatientPod,
};
use crate::envoy::world::tell;

/// Some 500 a worker. The bench drains 5,000; here each has a client and a connection in this process.
const MANY: usize = 2000;

#[tokio::test]
async fn two_thousand_wait_and_are_served() {
    let pod = PatientPod::start().await;
    tell(gated(&[pod.address], &json!({})), async |stack| {
        pods(stack, 1, &[pod.address]).await;
        let first = Client::named("first").ask(stack);
        let running = pod.next().await;
        let began = Instant::now();
        let asked = Client::named("many").ask_times(stack, MANY);
        until_held(stack, u64::try_from(MANY).unwrap()).await;
        running.answer();
        assert_eq!(first.await.unwrap().status, 200);
        assert_eq!(pod.answer_next(MANY).await.len(), MANY);
        let longest = u64::try_from(began.elapsed().as_millis()).unwrap();
        for reply in asked {
            let reply = reply.await.unwrap();
            assert_eq!(reply.status, 200, "{reply:?}");
            assert!((1..=longest).contains(&waited(&reply)), "{reply:?} of {longest}");
        }
        is_quiet(stack, &pod).await;
    })
    .await;
}

#[tokio::test]
async fn who_has_waited_long_enough_is_told() {
    let pod = PatientPod::start().await;
    let low = json!({"priority": -1, "maxRequests": 5});
    tell(gated(&[pod.address], &json!({"priorityBands": [low]})), async |stack| {
        pods(stack, 1, &[pod.address]).await;
        let first = Client::named("first").ask(stack);
        let running = pod.next().await;
        let brief = Client { name: "brief", ttl: "300ms", ..Client::default() };
        let began = Instant::now();
        let brief = brief.ask_times(stack, 8);
        for reply in brief {
            let reply = reply.await.unwrap();
            let reason = reply.header("x-llm-d-request-dropped-reason");
            assert_eq!((reply.status, reason), (429, Some("rejected-ttl-expired")), "{reply:?}");
            assert_eq!(reply.header("retry-after"), Some("1"));
            assert!(began.elapsed() >= Duration::from_millis(300));
        }

        let low = Client { name: "low", objective: "low", ..Client::default() };
        let staying = low.ask_times(stack, 5);
        until_held(stack, 5).await;
        let reply = low.ask(stack).await.unwrap();
        let reason = reply.header("x-llm-d-request-dropped-reason");
        assert_eq!((reply.status, reason), (429, Some("rejected-saturated")), "{reply:?}");
        assert_eq!(reply.error(), "request rejected pre-queue: queue at capacity");
        running.answer();
        assert_eq!(pod.answer_next(5).await, ["low"; 5]);
        for reply in staying.into_iter().chain([first]) {
            assert_eq!(reply.await.unwrap().status, 200);
        }
        is_quiet(stack, &pod).await;
    })
    .await;
}
