//! Two plugin instances for one pool, as two routes of one Envoy have: in each VM they are one worker.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use host_mock::{Envoy, FailPolicy, Plugin, Stream};
use serde_json::json;

use crate::mock::{
    push::{Pod, Push},
    world::{CHAT, builder, chat_body},
};

fn ask(envoy: &Envoy, worker: usize, through: &str) -> Stream {
    let worker = envoy.worker(worker).through(through).unwrap();
    let stream = worker.post(CHAT, NONE, &chat_body("hello"));
    envoy.run_for(std::time::Duration::from_millis(1));
    stream
}

const NONE: &[(&str, &str)] = &[];

#[test]
fn both_wait_in_one_queue() {
    let config = json!({
        "featureGates": ["flowControl"],
        "plugins": [{"type": "concurrency-detector", "parameters": {"maxConcurrency": 1}}],
        "flowControl": {"saturationDetector": {"pluginRef": "concurrency-detector"}},
    });
    let plugin = |name: &str, config: &str| {
        let plugin = Plugin::new(name, config).allow_on_headers_stop_iteration(true);
        plugin.fail_policy(FailPolicy::Reload)
    };
    let config = config.to_string();
    let envoy = builder()
        .plugin(plugin("one", &config))
        .plugin(plugin("two", &config))
        .plugin(plugin("ingest", r#"{"ingest": {}}"#))
        .start()
        .unwrap();
    let time = u64::try_from(envoy.now().as_millis()).unwrap();
    let push = Push { time, sequence: 1, ..Push::of(&Pod::idles(1)) };
    let ingest = envoy.worker(0).through("ingest").unwrap();
    assert_eq!(ingest.post("/v1/snapshot", &push.headers(), &push.body).status(), Some(204));

    let asked: Vec<Stream> =
        (0..12).map(|n| ask(&envoy, n / 2 % 4, if n % 2 == 0 { "one" } else { "two" })).collect();
    for (n, stream) in asked.iter().enumerate() {
        assert!(stream.sent().is_some(), "{n}");
        let next = asked.get(n + 1);
        assert!(next.is_none_or(|next| next.sent().is_none()), "{n} is not over");
        stream.respond(200, NONE, b"{}");
        envoy.pump();
    }
    let ledger = envoy.shared_data(&wire::layout::key("default", "ledger")).unwrap();
    let ledger = wire::ledger::decode(&ledger);
    assert_eq!((ledger.waiting, ledger.granted, ledger.accounts.requests()), (0, 0, 0));
    assert!((0..4).all(|worker| envoy.worker(worker).alive()));
}
