//! What a client reads that was not served: one row for each outcome that a client can bring about.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};

use super::{script::Script, world::gated};
use crate::mock::push::Pod;

/// The answer to the last request named `it`, after these lines.
fn answer(flow: &Value, lines: &[&str]) -> String {
    let world = gated(flow);
    let mut script = Script::new(&world);
    for line in lines {
        script.play(line);
    }
    let response = script.stream("it").response().unwrap();
    world.is_well();
    let header = |name: &str| response.headers.text(name).unwrap_or("-").to_owned();
    format!(
        "{} {} retry-after {}\n    {} {}",
        response.status,
        header("x-llm-d-request-dropped-reason"),
        header("retry-after"),
        header("content-type"),
        response.text()
    )
}

#[test]
fn each_says_what_happened() {
    let none = json!({});
    let one = json!({"maxRequests": 1});
    let brief = json!({"defaultRequestTTL": "1s", "noEndpointRequestTTL": "1s"});
    let both = json!({"maxRequests": 1, "displace": true});
    let table = [
        ("no snapshot", answer(&none, &["0 asks it"])),
        ("full", answer(&one, &["1 pods", "0 asks a b", "1 asks it"])),
        ("full, pool empty", answer(&one, &["0 pods", "0 asks b", "1 asks it"])),
        ("too long", answer(&brief, &["1 pods", "0 asks a", "1 asks it", "2 s pass"])),
        ("too long, pool empty", answer(&brief, &["0 pods", "1 asks it", "2 s pass"])),
        (
            "displaced",
            answer(&both, &["1 pods", "0 asks a", "1 asks it as batch", "2 asks b as high"]),
        ),
    ];
    let table = table.map(|(case, answer)| format!("{case}: {answer}")).join("\n");
    insta::assert_snapshot!(table, @r#"
    no snapshot: 503 rejected-no-endpoints retry-after -
        application/json {"error":{"message":"no endpoints available: no snapshot of the pool has arrived yet","type":"server_error","code":503}}
    full: 429 rejected-saturated retry-after 1
        application/json {"error":{"message":"request rejected pre-queue: queue at capacity","type":"rate_limit_error","code":429}}
    full, pool empty: 503 rejected-no-endpoints retry-after -
        application/json {"error":{"message":"no endpoints available: request rejected pre-queue: no endpoints available","type":"server_error","code":503}}
    too long: 429 rejected-ttl-expired retry-after 1
        application/json {"error":{"message":"request timed out in queue: request evicted from queue: request TTL expired","type":"rate_limit_error","code":429}}
    too long, pool empty: 503 rejected-no-endpoints retry-after -
        application/json {"error":{"message":"request timed out in queue and no endpoints are available: request evicted from queue: request TTL expired","type":"server_error","code":503}}
    displaced: 429 evicted-queue-pressure retry-after 1
        application/json {"error":{"message":"request evicted by flow control","type":"rate_limit_error","code":429}}
    "#);
}

/// The EPP's counters, by outcome and priority; labels are still in the names.
#[test]
fn every_wait_is_counted_once() {
    let world = gated(&json!({"maxRequests": 2, "defaultRequestTTL": "1s"}));
    let mut script = Script::new(&world);
    for line in [
        "1 pods",
        "0 asks a b",
        "1 asks c as low",
        "2 asks d",
        "a ends",
        "b ends",
        "3 asks e as high",
        "2 s pass",
    ] {
        script.play(line);
    }
    let counted: Vec<String> = world
        .envoy
        .metrics()
        .into_iter()
        .filter(|(name, _)| name.contains("flow_control"))
        .map(|(name, value)| format!("{name} {value:?}"))
        .collect();
    insta::assert_snapshot!(counted.join("\n"), @"
    llm_d_epp_flow_control_requests_total.inference_pool=default;.outcome=Dispatched.priority=0 Counter(1)
    llm_d_epp_flow_control_requests_total.inference_pool=default;.outcome=Dispatched.priority=10 Counter(1)
    llm_d_epp_flow_control_requests_total.inference_pool=default;.outcome=EvictedTTL.priority=0 Counter(1)
    llm_d_epp_flow_control_requests_total.inference_pool=default;.outcome=EvictedTTL.priority=100 Counter(1)
    llm_d_epp_flow_control_requests_total.inference_pool=default;.outcome=RejectedCapacity.priority=0 Counter(1)
    llm_d_epp_flow_control_pool_saturation_thousandths.inference_pool=default; Gauge(1000)
    llm_d_epp_flow_control_queue_bytes.inference_pool=default;.priority=0.fairness_id=default-flow; Gauge(0)
    llm_d_epp_flow_control_queue_bytes.inference_pool=default;.priority=100.fairness_id=default-flow; Gauge(0)
    llm_d_epp_flow_control_queue_size.inference_pool=default;.priority=0.fairness_id=default-flow; Gauge(0)
    llm_d_epp_flow_control_queue_size.inference_pool=default;.priority=100.fairness_id=default-flow; Gauge(0)
    llm_d_epp_flow_control_request_queue_duration_milliseconds.inference_pool=default;.outcome=Dispatched.priority=0 Histogram([0])
    llm_d_epp_flow_control_request_queue_duration_milliseconds.inference_pool=default;.outcome=Dispatched.priority=10 Histogram([2])
    llm_d_epp_flow_control_request_queue_duration_milliseconds.inference_pool=default;.outcome=EvictedTTL.priority=0 Histogram([1000])
    llm_d_epp_flow_control_request_queue_duration_milliseconds.inference_pool=default;.outcome=EvictedTTL.priority=100 Histogram([1017])
    llm_d_epp_flow_control_request_queue_duration_milliseconds.inference_pool=default;.outcome=RejectedCapacity.priority=0 Histogram([0])
    ");
}

/// A tenant has one name in all families, whatever it calls itself.
#[test]
fn one_rule_for_labels_holds_in_all_families() {
    let world = gated(&json!({"maxRequests": 9}));
    world.pods(&[Pod::idle(1)]);
    let ids = ["ann@example.com", "a;b\"c\\d e", &"é.x".repeat(90), "tenant-7_x/y:z"];
    let mut streams = Vec::new();
    for id in ids {
        // The first takes the only place, the second waits.
        for _ in 0..2 {
            let headers = [("x-llm-d-inference-fairness-id", id)];
            streams.push(world.chat_with(0, &headers, "hello"));
        }
    }
    world.envoy.run_for(Duration::from_secs(1));
    for stream in &streams {
        stream.disconnect();
    }
    let labels = |family: &str| -> BTreeSet<String> {
        let metrics = world.envoy.metrics().into_iter();
        let named = metrics.filter(|(name, _)| name.starts_with(family));
        let label = |name: String| {
            let (_, rest) = name.split_once(".fairness_id=").unwrap();
            rest.split_once(';').unwrap().0.to_owned()
        };
        named.map(|(name, _)| label(name)).collect()
    };
    let expected: BTreeSet<String> = [
        "ann@example.com".to_owned(),
        "a_b_c_d_e".to_owned(),
        "_.x".repeat(43).chars().take(128).collect(),
        "tenant-7_x/y:z".to_owned(),
    ]
    .into();
    assert_eq!(labels("llm_d_epp_request_total"), expected);
    assert_eq!(labels("llm_d_epp_flow_control_queue_size"), expected);
    world.is_well();
}
