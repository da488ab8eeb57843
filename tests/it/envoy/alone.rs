//! An Envoy without the picker, which the benches compare it with.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;

use stack::Balancing;

use super::{client::chat_with, world};

#[tokio::test]
async fn a_ring_of_hashes_keeps_a_conversation_on_its_pod() {
    let builder = world::stack().endpoints(3).without_filter(Balancing::RingHash);
    let stack = builder.start().await.unwrap();
    let mut homes = BTreeSet::new();
    for conversation in 0..12 {
        let headers = [("x-conversation", conversation.to_string())];
        let mut pods = BTreeSet::new();
        for turn in 0..4 {
            let reply = chat_with(stack.gateway, &format!("turn {turn}"), &headers).await;
            assert_eq!(reply.status, 200, "{reply:?}");
            pods.insert(reply.served_by());
        }
        assert_eq!(pods.len(), 1, "conversation {conversation} went to {pods:?}");
        homes.extend(pods);
    }
    assert!(homes.len() > 1, "all went to {homes:?}");
}
