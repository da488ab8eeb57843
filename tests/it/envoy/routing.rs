//! Where requests go when all is well.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::collections::BTreeSet;

use stack::Stack;

use super::{client::chat, world};

/// Longer than a few blocks of any engine's cache, and different from its first byte on.
pub(super) fn long_prompt(topic: &str) -> String {
    format!("{topic}: {}", "a sentence about it, and another one. ".repeat(200))
}

#[tokio::test]
async fn a_completion_comes_back_with_its_decision() {
    world::tell_in_every_way(|stack| stack, comes_back_with_its_decision).await;
}

/// An answer, by the pod that the decision names.
pub(super) async fn comes_back_with_its_decision(stack: &mut Stack) {
    let reply = chat(stack.gateway, "hello").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(reply.body.contains("\"choices\""), "{}", reply.body);
    let decided = reply.decision("endpoint").map(str::to_owned);
    assert_eq!(decided, Some(reply.served_by().to_string()), "{reply:?}");
}

#[tokio::test]
async fn equal_prompts_share_a_pod_and_different_ones_spread() {
    world::tell_in_every_way(|stack| stack.endpoints(3), share_a_pod_or_spread).await;
}

/// Of three pods.
pub(super) async fn share_a_pod_or_spread(stack: &mut Stack) {
    let mut same = BTreeSet::new();
    for _ in 0..10 {
        same.insert(chat(stack.gateway, &long_prompt("ships")).await.served_by());
    }
    assert_eq!(same.len(), 1, "ten equal prompts went to {same:?}");
    let mut different = BTreeSet::new();
    // Enough of them for many scrapes: one that caught a pod at work has it passed over until the next.
    let mut prompts = (0..400).map(|number: u32| long_prompt(&number.to_string()));
    while different.len() < 3 {
        let prompt = prompts.next().unwrap_or_else(|| panic!("400 prompts went to {different:?}"));
        different.insert(chat(stack.gateway, &prompt).await.served_by());
    }
}

#[tokio::test]
async fn a_killed_pod_loses_its_prompts_to_another() {
    world::tell_in_every_way(|stack| stack.endpoints(3), move_from_a_killed_pod).await;
}

/// The last story of a stack: it is left with a pod less.
pub(super) async fn move_from_a_killed_pod(stack: &mut Stack) {
    let prompt = long_prompt("bridges");
    let home = chat(stack.gateway, &prompt).await.served_by();
    stack.pods.iter_mut().find(|pod| pod.addr == home).unwrap().kill().await.unwrap();
    // Where Envoy cannot fail over, requests fail until the scraper has noticed.
    let first = chat(stack.gateway, &prompt).await;
    if stack.way.fails_over() {
        assert_eq!(first.status, 200, "{first:?}");
    }
    let moved = world::until(async || {
        let reply = chat(stack.gateway, &prompt).await;
        let decided = reply.decision("endpoint")?.parse().ok()?;
        (reply.status == 200 && decided != home).then_some(decided)
    })
    .await;
    for _ in 0..10 {
        let reply = chat(stack.gateway, &prompt).await;
        assert_eq!((reply.status, reply.served_by()), (200, moved), "{reply:?}");
    }
}
