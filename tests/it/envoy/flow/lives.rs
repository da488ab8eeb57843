//! VMs and plugin instances that come and go while requests are held.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::net::SocketAddr;

use serde_json::json;
use stack::Stack;

use super::{
    crowd::{Client, gate, gated, is_quiet, pods, until_held},
    discovery::{discovered, reconfigure, with_a_second_gateway},
    mine,
    pod::PatientPod,
};
use crate::envoy::{
    client::{Reply, post},
    push::report,
    world::{CONNECTIONS, tell, tell_of_death, until},
};

/// Each worker holds some.
const HELD: usize = 24;

/// What the dead VM held is lost; the others go on. Five seconds later nothing of it is left.
#[tokio::test]
async fn a_vm_dies_while_it_holds() {
    let pod = PatientPod::start().await;
    let dir = tempfile::tempdir().unwrap();
    let stack = gated(&[pod.address], &json!({})).programs(mine::programs(dir.path()));
    tell_of_death(stack, async |stack| {
        pods(stack, 1, &[pod.address]).await;
        let first = Client::named("first").ask(stack);
        let running = pod.next().await;
        let asked = Client::named("held").ask_times(stack, HELD);
        until_held(stack, u64::try_from(HELD).unwrap()).await;
        assert_eq!(mine::step(stack.gateway).await.status, 503);
        running.answer();
        until_nothing_is_counted(stack, &pod).await;
        // What its VM held has nobody left to go on with it: it would hang until Envoy gives it up.
        let (over, hanging): (Vec<_>, Vec<_>) =
            asked.into_iter().partition(tokio::task::JoinHandle::is_finished);
        hanging.iter().for_each(tokio::task::JoinHandle::abort);
        let mut served = 0;
        for reply in over {
            served += usize::from(reply.await.is_ok_and(|reply| reply.status == 200));
        }
        drop(first);
        assert!((1..HELD).contains(&served), "{served} of {HELD} were served");
        until_every_worker_serves(stack).await;
        assert_eq!(mine::reloads(stack).await, 1);
        is_quiet(stack, &pod).await;
    })
    .await;
}

/// All of them die, one after the other, with requests in flight and others held: whoever asks then finds the pool as large
/// as it was.
#[tokio::test]
async fn every_vm_dies() {
    let pod = PatientPod::start().await;
    let dir = tempfile::tempdir().unwrap();
    let stack = gated(&[pod.address], &json!({})).programs(mine::programs(dir.path()));
    tell_of_death(stack, async |stack| {
        pods(stack, 1, &[pod.address]).await;
        let asked = Client::named("asks").ask_times(stack, HELD);
        let running = pod.next().await;
        until_held(stack, u64::try_from(HELD - 1).unwrap()).await;
        for _ in 0..64 {
            mine::step(stack.gateway).await;
        }
        running.answer();
        for client in asked {
            client.abort();
        }
        until_every_worker_serves(stack).await;
        until_nothing_is_counted(stack, &pod).await;
        is_quiet(stack, &pod).await;
    })
    .await;
}

/// Who waits is served by the new rules; what is in flight still counts.
#[tokio::test]
async fn the_configuration_changes_under_those_who_wait() {
    let pod = PatientPod::start().await;
    tell(gated(&[pod.address], &json!({})).template(discovered()), async |stack| {
        pods(stack, 1, &[pod.address]).await;
        let mut asked = vec![Client::named("first").ask(stack)];
        let first = pod.next().await;
        asked.extend(Client::named("before").ask_times(stack, HELD));
        until_held(stack, u64::try_from(HELD).unwrap()).await;

        reconfigure(stack, gate(3, &json!({}))).await;
        asked.extend(Client::named("after").ask_times(stack, HELD));
        // The old arbiter's lease has to lapse; then there is room for two more.
        let running = [first, pod.next().await, pod.next().await];
        until_held(stack, u64::try_from(2 * HELD - 2).unwrap()).await;
        assert!(pod.is_idle().await);

        reconfigure(stack, gate(1, &json!({}))).await;
        for one in running {
            one.answer();
        }
        assert_eq!(pod.answer_next(2 * HELD - 2).await.len(), 2 * HELD - 2);
        for reply in asked {
            assert_eq!(reply.await.unwrap().status, 200);
        }
        is_quiet(stack, &pod).await;
    })
    .await;
}

/// A configuration that is refused: whoever waits, and whoever comes, is served by the last good one.
#[tokio::test]
async fn a_refused_configuration_loses_nothing_that_waits() {
    let pod = PatientPod::start().await;
    tell(gated(&[pod.address], &json!({})).template(discovered()), async |stack| {
        pods(stack, 1, &[pod.address]).await;
        let mut asked = vec![Client::named("first").ask(stack)];
        let first = pod.next().await;
        asked.extend(Client::named("before").ask_times(stack, HELD));
        until_held(stack, u64::try_from(HELD).unwrap()).await;
        reconfigure(stack, json!({"plugins": [{"type": "queu-scorer"}]})).await;
        asked.extend(Client::named("after").ask_times(stack, HELD));
        until_held(stack, u64::try_from(2 * HELD).unwrap()).await;
        first.answer();
        assert_eq!(pod.answer_next(2 * HELD).await.len(), 2 * HELD);
        for reply in asked {
            assert_eq!(reply.await.unwrap().status, 200);
        }
        is_quiet(stack, &pod).await;
    })
    .await;
}

/// The pool goes out of the configuration under those who wait and run: they are served to their end, or told in time, by
/// instances that Envoy takes away as soon as their own streams are gone. Then the pool comes back.
#[tokio::test]
async fn a_pool_leaves_the_configuration_under_those_who_wait() {
    let pod = PatientPod::start().await;
    tell(gated(&[pod.address], &json!({})).template(discovered()), async |stack| {
        pods(stack, 1, &[pod.address]).await;
        let mut asked = vec![Client::named("first").ask(stack)];
        let first = pod.next().await;
        asked.extend(Client::named("waits").ask_times(stack, HELD));
        let brief = Client { name: "brief", ttl: "2s", ..Client::default() }.ask(stack);
        until_held(stack, u64::try_from(HELD + 1).unwrap()).await;

        let others = json!({"failureMode": "FailClose", "pools": [{"name": "others"}]});
        reconfigure(stack, others).await;
        let after = Client::named("after").ask(stack).await.unwrap();
        assert_eq!(after.status, 503, "the other pool has no snapshot: {after:?}");
        let told = brief.await.unwrap();
        let reason = told.header("x-llm-d-request-dropped-reason");
        assert_eq!((told.status, reason), (429, Some("rejected-ttl-expired")), "{told:?}");
        assert!(pod.is_idle().await, "the one place is taken");
        first.answer();
        assert_eq!(pod.answer_next(HELD).await, ["waits"; HELD]);
        for reply in asked {
            assert_eq!(reply.await.unwrap().status, 200);
        }
        until_nothing_is_counted(stack, &pod).await;

        reconfigure(stack, gate(1, &json!({}))).await;
        pods(stack, 2, &[pod.address]).await;
        is_quiet(stack, &pod).await;
    })
    .await;
}

/// Two listeners, each with a plugin instance of its own: in each VM they are one worker, and there is one queue.
#[tokio::test]
async fn two_instances_in_one_vm() {
    let pod = PatientPod::start().await;
    tell(gated(&[pod.address], &json!({})).template(with_a_second_gateway()), async |stack| {
        pods(stack, 1, &[pod.address]).await;
        let second = stack.listener("second").await.unwrap();
        let mut asked = vec![Client::named("first").ask(stack)];
        let running = pod.next().await;
        for n in 0..HELD {
            asked.push(Client::named("held").ask_at(if n % 2 == 0 {
                second
            } else {
                stack.gateway
            }));
        }
        until_held(stack, u64::try_from(HELD).unwrap()).await;
        running.answer();
        assert_eq!(pod.answer_next(HELD).await.len(), HELD);
        for reply in asked {
            assert_eq!(reply.await.unwrap().status, 200);
        }
        is_quiet(stack, &pod).await;
        goes_at_once(second, &pod).await;
    })
    .await;
}

/// What dead VMs had counted is taken back after five seconds, and who still waits is served.
async fn until_nothing_is_counted(stack: &Stack, pod: &PatientPod) {
    let counted = until(async || {
        let known = report(stack, &[pod.address]).await;
        (known.waiting == 0 && known.in_flight.is_empty()).then_some(())
    });
    tokio::select! {
        () = counted => (),
        () = async { loop { pod.next().await.answer(); } } => (),
    }
}

/// The next request that comes to a worker gets it a new VM, about a second later.
async fn until_every_worker_serves(stack: &Stack) {
    until(async || {
        for _ in 0..CONNECTIONS {
            let reply = post(stack.gateway, "/v1/chat/completions", &[], "no JSON").await;
            if reply.status != 400 {
                return None;
            }
        }
        Some(())
    })
    .await;
}

fn is_served_at_once(reply: &Reply) -> bool {
    reply.status == 200 && reply.header("x-llm-d-flow-queue-duration-ms") == Some("0")
}

async fn goes_at_once(gateway: SocketAddr, pod: &PatientPod) {
    let asks = Client::named("last").ask_at(gateway);
    pod.next().await.answer();
    assert!(is_served_at_once(&asks.await.unwrap()));
}
