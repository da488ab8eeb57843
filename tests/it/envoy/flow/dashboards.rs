//! The metrics that alerts and dashboards ask for are those that Envoy and the scraper show.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::json;

use super::crowd::{Client, gate};
use crate::envoy::{client::post, world};

const ASKED_IN: [&str; 3] = ["grafana.json", "perses.yaml", "rules.yaml"];

/// Counters of what never happens in this story: a series comes with its first event.
const UNHAPPENED: [&str; 2] = ["llm_picker_failed_open_total", "llm_picker_own_errors_total"];

/// Requests of which the picker's own time is measured of some on each worker: one in 16.
const MEASURED: usize = 64;

/// Names of metrics that begin as ours do.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("llm_")).map(str::to_owned).collect()
}

/// Metrics of Envoy and of the scraper while requests wait, were served and were refused.
async fn shown() -> String {
    let page = std::cell::RefCell::new(String::new());
    // Pods that take their time, so that requests wait for seconds.
    let slow = ["--speed", "0.03"];
    let builder = world::stack().endpoints(1).pod_args(&slow).plugin(gate(1, &json!({})));
    world::tell(builder, async |stack| {
        let client = |name| Client { name, ..Client::default() };
        let asked = ["one", "two", "three", "four"].map(|name| client(name).ask(stack));
        post(stack.gateway, "/v1/chat/completions", &[], "no JSON").await;
        let text = world::until(async || {
            let text = stack::get(stack.status.unwrap(), "/metrics").await.ok()?.body;
            let has = |name: &str| text.contains(name);
            let waits =
                has("flow_control_queue_size{") && has("request_queue_duration_seconds_sum");
            (waits && has("llm_picker_refused_total{")).then_some(text)
        })
        .await;
        let envoys = stack::get(stack.admin, "/stats/prometheus").await.unwrap().body;
        *page.borrow_mut() = text + &envoys;
        for reply in asked {
            assert_eq!(reply.await.unwrap().status, 200);
        }
        // A stream with its usage, and a model that pods do not have.
        let missing = std::iter::repeat_n(("missing", 404), MEASURED);
        for (model, status) in [("tiny", 200)].into_iter().chain(missing) {
            let body = json!({
                "model": model, "stream": true, "stream_options": {"include_usage": true}, "max_tokens": 3,
                "messages": [{"role": "user", "content": "hello"}],
            });
            let path = "/v1/chat/completions";
            let reply = post(stack.gateway, path, &[], body.to_string()).await;
            assert_eq!(reply.status, status, "{}", reply.body);
        }
        let text = world::until(async || {
            let text = stack::get(stack.status.unwrap(), "/metrics").await.ok()?.body;
            let ended = [
                "streaming_itl_seconds_bucket{",
                "request_error_total{",
                "response_processing_duration_seconds_bucket{",
            ];
            ended.iter().all(|name| text.contains(name)).then_some(text)
        })
        .await;
        page.borrow_mut().push_str(&text);
    })
    .await;
    page.into_inner()
}

#[tokio::test]
async fn every_metric_that_is_asked_for_exists() {
    let shown = names(&shown().await);
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("envoy/chart/files");
    for file in ASKED_IN {
        let asked = names(&fs::read_to_string(files.join(file)).unwrap());
        assert!(!asked.is_empty(), "{file} asks for nothing of ours");
        let missing: Vec<_> =
            asked.difference(&shown).filter(|name| !UNHAPPENED.contains(&name.as_str())).collect();
        assert!(missing.is_empty(), "{file} asks for {missing:?}; there are {shown:?}");
    }
}
