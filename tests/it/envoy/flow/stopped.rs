//! An Envoy that is stopped in the middle of its work, for longer than a worker's silence that counts as death.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::{
    crowd::{Client, gated, is_quiet, pods, until_held},
    pod::PatientPod,
};
use crate::envoy::world::tell;

/// Each worker holds some of each kind.
const HELD: usize = 24;

const STOPPED: Duration = Duration::from_secs(7);

/// What could wait for so long is served, what could not is told so, and no worker takes another for dead.
#[tokio::test]
async fn a_stop_loses_none_that_waits() {
    let pod = PatientPod::start().await;
    tell(gated(&[pod.address], &json!({})), async |stack| {
        pods(stack, 1, &[pod.address]).await;
        let first = Client::named("first").ask(stack);
        let running = pod.next().await;
        let patient = Client::named("patient").ask_times(stack, HELD);
        let brief = Client { name: "brief", ttl: "5s", ..Client::default() };
        let brief = brief.ask_times(stack, HELD);
        until_held(stack, u64::try_from(2 * HELD).unwrap()).await;
        stack.freeze_envoy().await.unwrap();
        sleep(STOPPED).await;
        stack.thaw_envoy().await.unwrap();

        // Before any place is free.
        for reply in brief {
            let reply = reply.await.unwrap();
            let reason = reply.header("x-llm-d-request-dropped-reason");
            assert_eq!((reply.status, reason), (429, Some("rejected-ttl-expired")), "{reply:?}");
        }
        until_held(stack, u64::try_from(HELD).unwrap()).await;
        assert!(pod.is_idle().await, "the one that runs still counts");
        running.answer();
        assert_eq!(first.await.unwrap().status, 200);
        assert_eq!(pod.answer_next(HELD).await, vec!["patient"; HELD]);
        for reply in patient {
            assert_eq!(reply.await.unwrap().status, 200);
        }
        is_quiet(stack, &pod).await;
    })
    .await;
}
