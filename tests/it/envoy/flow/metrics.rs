//! What a reply says of flow control: queues by tenant and priority, and how waits ended.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use picker_core::flow::Outcome;
use serde_json::json;
use stack::Way;
use wire::tally::{Labels, Measure};

use super::{
    crowd::{Client, gated, is_quiet, pods, until_held},
    pod::PatientPod,
};
use crate::envoy::{
    push,
    world::{tell, until},
};

#[tokio::test]
async fn queues_and_outcomes_are_told_in_every_way() {
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
            let queues = until(async || {
                let queues = push::report(stack, &[pod.address]).await.queues;
                (queues.len() == 2).then_some(queues)
            })
            .await;
            let mut told: Vec<_> = queues
                .iter()
                .map(|it| {
                    format!("{} {} {} {}", it.priority, it.fairness_id, it.requests, it.bytes)
                })
                .collect();
            told.sort_unstable();
            assert_eq!(told, ["0 ann@example.com 3 234", "100 bob 2 156"]);
            let dispatched = Measure::QueueOutcomes(Outcome::Dispatched.into());
            until(async || {
                let sets = push::tallied(stack).await;
                let bands = sets.iter().filter(|set| set.labels == Labels::Band(0));
                let sum: u64 = bands.filter_map(|set| set.count(dispatched)).map(|it| it.sum).sum();
                (sum == 1).then_some(())
            })
            .await;
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
