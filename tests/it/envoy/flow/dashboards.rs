//! What alerts and dashboards ask for is what Envoy and the scraper show.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::json;

use super::{
    crowd::{Client, gated, pods, until_held},
    pod::PatientPod,
};
use crate::envoy::{
    client::{chat, post},
    world,
};

const ASKED_IN: [&str; 3] = ["grafana.json", "perses.yaml", "rules.yaml"];

/// Names of metrics that begin as ours do.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("llm_")).map(str::to_owned).collect()
}

/// Metrics of a gateway where requests wait, were served and were refused.
async fn of_a_gateway() -> String {
    let page = std::cell::RefCell::new(String::new());
    let pod = PatientPod::start().await;
    world::tell(gated(&[pod.address], &json!({})), async |stack| {
        pods(stack, 1, &[pod.address]).await;
        let mut asked = vec![Client::named("first").ask(stack)];
        let running = pod.next().await;
        asked.push(Client::named("second").ask(stack));
        until_held(stack, 1).await;
        post(stack.gateway, "/v1/chat/completions", &[], "no JSON").await;
        *page.borrow_mut() = stack::get(stack.admin, "/stats/prometheus").await.unwrap().body;
        running.answer();
        pod.answer_next(1).await;
        for reply in asked {
            assert_eq!(reply.await.unwrap().status, 200);
        }
    })
    .await;
    page.into_inner()
}

async fn of_a_scraper() -> String {
    let page = std::cell::RefCell::new(String::new());
    world::tell(world::stack().endpoints(1), async |stack| {
        assert_eq!(chat(stack.gateway, "hello").await.status, 200);
        *page.borrow_mut() = stack::get(stack.status.unwrap(), "/metrics").await.unwrap().body;
    })
    .await;
    page.into_inner()
}

#[tokio::test]
async fn every_metric_that_is_asked_for_exists() {
    let shown = names(&(of_a_gateway().await + &of_a_scraper().await));
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("envoy/chart/files");
    for file in ASKED_IN {
        let asked = names(&fs::read_to_string(files.join(file)).unwrap());
        assert!(!asked.is_empty(), "{file} asks for nothing of ours");
        let missing: Vec<_> = asked.difference(&shown).collect();
        assert!(missing.is_empty(), "{file} asks for {missing:?}; there are {shown:?}");
    }
}
