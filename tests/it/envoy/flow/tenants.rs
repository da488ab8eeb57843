//! Two tenants, one ten times as loud.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use serde_json::json;

use super::{
    crowd::{Client, gated, is_quiet, pods, until_held},
    pod::PatientPod,
};
use crate::envoy::world::tell;

#[tokio::test]
async fn they_go_in_turn() {
    let pod = PatientPod::start().await;
    tell(gated(&[pod.address], &json!({})), async |stack| {
        pods(stack, 1, &[pod.address]).await;
        let first = Client::named("first").ask(stack);
        let running = pod.next().await;
        let loud = Client { name: "loud", tenant: "loud", ..Client::default() };
        let quiet = Client { name: "quiet", tenant: "quiet", ..Client::default() };
        let mut asked = loud.ask_times(stack, 60);
        until_held(stack, 60).await;
        asked.extend(quiet.ask_times(stack, 6));
        until_held(stack, 66).await;

        running.answer();
        // While both wait, each has every second turn.
        let mut order = pod.answer_next(12).await;
        assert!(order.chunks(2).all(|turn| turn[0] != turn[1]), "{order:?}");
        order.extend(pod.answer_next(54).await);
        assert_eq!(order.iter().filter(|name| *name == "quiet").count(), 6);
        for reply in asked.into_iter().chain([first]) {
            assert_eq!(reply.await.unwrap().status, 200);
        }
        is_quiet(stack, &pod).await;
    })
    .await;
}
