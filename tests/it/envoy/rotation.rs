//! A new secret, step by step as docs/operations.md has it: no push is refused, and in the end the old secret is
//! worth nothing.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;

use serde_json::json;
use stack::Stack;

use super::{listeners::count, push::Push, world};

const NEXT: &str = "the secret that comes next";

async fn refused(stack: &Stack) -> u64 {
    count(stack, "llm_picker_envoy_snapshots_refused_total").await
}

async fn stored(stack: &Stack) -> u64 {
    count(stack, "llm_picker_envoy_snapshots_stored_total").await
}

/// Waits for some more pushes of the scraper.
async fn goes_on(stack: &Stack) {
    let before = stored(stack).await;
    world::until(async || (stored(stack).await >= before + 10).then_some(())).await;
}

fn replace(stack: &Stack, secrets: &str) {
    // As kubelet does, in one step.
    let new = stack.dir().join("new-secret");
    fs::write(&new, secrets).unwrap();
    fs::rename(new, stack.secret_file()).unwrap();
}

#[tokio::test]
async fn no_push_is_refused_while_a_new_secret_takes_the_place_of_the_old_one() {
    // Step 1: the gateway takes both.
    let builder = world::stack().endpoints(2).plugin(json!({})).next_secret(NEXT);
    world::tell(builder, async |stack| {
        let told = |text: &str| {
            let log = fs::read_to_string(stack.dir().join("scraper.log")).unwrap_or_default();
            log.contains(text).then_some(())
        };
        goes_on(stack).await;
        // Step 2: the scraper signs with the new one, which its log says; a broken file changes nothing.
        replace(stack, "short");
        world::until(async || told("its last secret stays in use")).await;
        goes_on(stack).await;
        replace(stack, &format!("{NEXT}\n{}\n", stack.secret));
        world::until(async || told("signed with the first secret in it")).await;
        goes_on(stack).await;
        assert_eq!(refused(stack).await, 0, "none on the way");
        let pods: Vec<_> = stack.pods.iter().map(|pod| pod.addr).collect();
        let old = Push::of(stack, u64::MAX, &pods);
        let new = Push { secret: NEXT.to_owned(), time: old.time + 60, ..old.clone() };
        let third = Push { secret: "a secret from elsewhere".to_owned(), ..old };
        assert_eq!(third.send(stack).await.status, 401);
        assert_eq!(new.send(stack).await.status, 204);
    })
    .await;
}
