//! Three bands that ask for more than the pool has.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::json;

use super::{
    crowd::{Client, gated, is_quiet, pods, until_held},
    pod::PatientPod,
};
use crate::envoy::world::tell;

/// Of each band, and as many again while the first ones are served: twice the capacity, all the time.
const EACH: usize = 10;

#[tokio::test]
async fn the_higher_goes_first() {
    let pod = PatientPod::start().await;
    tell(gated(&[pod.address], &json!({})), async |stack| {
        pods(stack, 1, &[pod.address]).await;
        let mut asked = vec![Client::named("first").ask(stack)];
        let running = pod.next().await;
        let band = |name, objective| Client { name, objective, ..Client::default() };
        let (low, none, high) = (band("low", "low"), band("none", ""), band("high", "high"));
        for (before, client) in [low, none, high].into_iter().enumerate() {
            asked.extend(client.ask_times(stack, EACH));
            until_held(stack, u64::try_from((before + 1) * EACH).unwrap()).await;
        }
        let all: Vec<&str> =
            ["high", "none", "low"].into_iter().flat_map(|name| [name; EACH]).collect();

        running.answer();
        let mut order = Vec::new();
        // Two more ask for each one that is served: one passes all who wait, the other none.
        for served in 0..EACH {
            let arrived = pod.next().await;
            order.push(arrived.who.clone());
            asked.push(high.ask(stack));
            asked.push(low.ask(stack));
            until_held(stack, u64::try_from(3 * EACH - 1 - served + 2 * (served + 1)).unwrap())
                .await;
            arrived.answer();
        }
        assert!(order.iter().all(|name| name == "high"), "{order:?}");
        let rest = pod.answer_next(4 * EACH).await;
        let all = &all;
        let meant: Vec<&str> = all.iter().copied().chain(["low"; EACH]).collect();
        assert_eq!(rest, meant);
        for reply in asked {
            assert_eq!(reply.await.unwrap().status, 200);
        }
        is_quiet(stack, &pod).await;
    })
    .await;
}
