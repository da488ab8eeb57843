//! Configurations that are refused, in an Envoy whose listeners come by discovery: the other routes of the
//! listener are served, every other change of it is taken, and so is the next good configuration.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::json;
use stack::Stack;

use super::{
    client::{chat, post},
    listeners::{LATER, Listeners, count, discovered},
    push, world,
};

/// A typing error in one of three pools; how to fail can be read all the same.
fn mistyped(failure_mode: &str) -> String {
    json!({
        "failureMode": failure_mode,
        "pools": [
            {"name": "default", "match": {"pathPrefix": "/v1"}},
            {"name": "b", "match": {"host": "b"}, "config": {"plugins": [{"type": "queu-scorer"}]}},
            {"name": "c"},
        ]
    })
    .to_string()
}

fn good() -> String {
    another_good(0)
}

/// Envoy takes up an instance that still drains if the same configuration comes again, without a word.
fn another_good(priority: u32) -> String {
    let objectives = json!([{"name": "a", "priority": priority}]);
    json!({"failureMode": "FailClose", "decisionHeader": true, "objectives": objectives})
        .to_string()
}

async fn until_ok_is(stack: &Stack, value: u64) {
    world::until(async || (count(stack, "llm_picker_config_ok").await == value).then_some(()))
        .await;
}

async fn status(stack: &Stack, path: &str) -> u16 {
    let gateway = stack.listener("gateway").await.unwrap();
    post(gateway, path, &[], "").await.status
}

#[tokio::test]
async fn a_new_envoy_serves_all_routes_and_takes_the_next_good_one() {
    let builder = world::stack().endpoints(2).without_scraper();
    let builder = builder.template(discovered(&mistyped("FailOpen")));
    world::tell(builder, async |stack| {
        assert_eq!(status(stack, "/team-b").await, 200);
        for _ in 0..8 {
            let reply = chat(stack.gateway, "hello").await;
            assert_eq!(reply.status, 200, "unpicked: {reply:?}");
            assert_eq!(reply.header("x-llm-picker-decision"), None);
        }
        until_ok_is(stack, 0).await;
        Listeners::with(&good()).update(stack).await;
        let gateway = stack.listener("gateway").await.unwrap();
        world::until(async || (chat(gateway, "hello").await.status == 503).then_some(())).await;
        let pods: Vec<_> = stack.pods.iter().map(|pod| pod.addr).collect();
        push::snapshot(stack, 1, &pods).await;
        assert!(chat(gateway, "hello").await.header("x-llm-picker-decision").is_some());
        until_ok_is(stack, 1).await;
    })
    .await;
}

#[tokio::test]
async fn fail_close_closes_no_other_route() {
    let builder = world::stack().endpoints(2).without_scraper().workers(2);
    let builder = builder.template(discovered(
        &mistyped("FailClose").replace(r#""c""#, r#""c","match":{"host":"c"}"#),
    ));
    world::tell_of_refusal(builder, async |stack| {
        for _ in 0..8 {
            assert_eq!(status(stack, "/team-b").await, 200);
            assert_eq!(status(stack, "/other").await, 404, "a pod's answer");
            let reply = chat(stack.gateway, "hello").await;
            assert_eq!(reply.status, 503, "{reply:?}");
            assert!(reply.body.contains("the picker's configuration was refused"), "{reply:?}");
        }
    })
    .await;
}

/// A rollback while the refused one's listener drains, and forth again: Envoy tells the plugin of neither.
#[tokio::test]
async fn the_gauge_tells_of_the_newest_one_after_a_rollback() {
    let builder = world::stack().endpoints(2).without_scraper().workers(2);
    world::tell(builder.template(discovered(&good())), async |stack| {
        let bad = mistyped("FailClose");
        for (config, value) in [(&bad, 0), (&good(), 1), (&bad, 0)] {
            Listeners::with(config).update(stack).await;
            // Its streams tell, once it counts as in use.
            world::until(async || {
                assert_eq!(status(stack, "/team-b").await, 503, "no snapshot");
                (count(stack, "llm_picker_config_ok").await == value).then_some(())
            })
            .await;
        }
        assert!(count(stack, "listener_manager.total_filter_chains_draining").await > 0);
    })
    .await;
}

/// A listener update with a bad configuration of the picker, and a route of another team.
#[tokio::test]
async fn a_bad_one_after_a_good_one_keeps_picking_and_other_changes_are_taken() {
    let builder = world::stack().endpoints(2).without_scraper();
    world::tell(builder.template(discovered(&good())), async |stack| {
        let pods: Vec<_> = stack.pods.iter().map(|pod| pod.addr).collect();
        push::snapshot(stack, 1, &pods).await;
        assert_eq!(status(stack, "/team-c").await, 404, "a pod's answer");
        for (number, bad) in [(1, mistyped("FailClose")), (2, "{".to_owned())] {
            Listeners::with(&bad).routes(LATER).update(stack).await;
            world::until(async || (status(stack, "/team-c").await == 200).then_some(())).await;
            assert_eq!(status(stack, "/team-b").await, 200);
            let gateway = stack.listener("gateway").await.unwrap();
            for _ in 0..8 {
                let reply = chat(gateway, "hello").await;
                assert!(reply.header("x-llm-picker-decision").is_some(), "{reply:?}");
            }
            until_ok_is(stack, 0).await;
            Listeners::with(&another_good(number)).update(stack).await;
            until_ok_is(stack, 1).await;
        }
        assert_eq!(count(stack, "listener_manager.lds.update_rejected").await, 0);
    })
    .await;
}
