//! Two layouts of shared data in one Envoy, as while one module takes the place of another.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs, path::PathBuf};

use serde_json::json;
use stack::{Programs, Stack};
use wire::layout::LAYOUT;

use super::{
    client::chat,
    listeners::{Listeners, discovered},
    push::Push,
    upstream, world,
};

/// The module with another layout in all of its keys.
fn another_layout(stack: &Stack) -> PathBuf {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut module = fs::read(Programs::built_in(root).unwrap().wasm()).unwrap();
    let old = LAYOUT.as_bytes();
    let new = format!("v{}.", "9".repeat(old.len() - 2)).into_bytes();
    assert_ne!(old, new);
    let places: Vec<usize> = module
        .windows(old.len())
        .enumerate()
        .filter(|(_, it)| *it == old)
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty(), "{LAYOUT} is not in the module");
    for at in places {
        module.splice(at..at + new.len(), new.iter().copied());
    }
    let file = stack.dir().join("another-layout.wasm");
    fs::write(&file, module).unwrap();
    file
}

#[tokio::test]
async fn old_and_new_never_read_each_others_values() {
    let (slow, tokens) = upstream::streams_on_command().await;
    let tokens = std::cell::RefCell::new(Some(tokens));
    let quick = upstream::answers().await;
    let plugin = json!({"failureMode": "FailClose", "decisionHeader": true}).to_string();
    let builder = world::stack().upstreams(vec![slow, quick]).without_scraper();
    world::tell(builder.template(discovered(&plugin)), async |stack| {
        let snapshot = Push::beside(stack, 1, &[slow], &[quick]);
        assert_eq!(snapshot.send(stack).await.status, 204);
        let gateway = stack.gateway;
        let lasting = tokio::spawn(async move { chat(gateway, "a long story").await });
        let counted = |report: wire::report::Report| {
            report.in_flight.iter().find(|it| it.endpoint == slow).map_or(0, |it| it.requests)
        };
        let report = async |sequence| {
            Push::beside(stack, sequence, &[quick], &[slow]).send_for_report(stack).await
        };
        world::until(async || {
            let known = Push::beside(stack, 2, &[slow], &[quick]).send_for_report(stack).await;
            (counted(known) == 1).then_some(())
        })
        .await;
        let old = Push::beside(stack, 3, &[quick], &[slow]);
        assert_eq!(old.send(stack).await.status, 204);

        Listeners::with(&plugin).module(&another_layout(stack)).update(stack).await;
        let before = chat(stack.gateway, "hello").await;
        assert_eq!(before.status, 503, "the old snapshot is not read: {before:?}");
        assert_eq!(counted(report(4).await), 0, "nor the old ledger");
        let reply = chat(stack.gateway, "hello").await;
        assert!(
            reply.status == 200 && reply.header("x-llm-picker-decision").is_some(),
            "{reply:?}"
        );

        // And nothing of the old one's was written: it counts on where it was.
        Listeners::with(&plugin).update(stack).await;
        let reply = chat(stack.gateway, "hello").await;
        assert!(reply.header("x-llm-picker-decision").is_some(), "by its own snapshot: {reply:?}");
        assert_eq!(counted(report(5).await), 1, "and what runs");
        drop(tokens.take());
        assert_eq!(lasting.await.unwrap().status, 200);
        world::until(async || (counted(report(6).await) == 0).then_some(())).await;
    })
    .await;
}
