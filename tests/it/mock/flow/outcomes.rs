//! What a client reads that was not served: one row for each outcome that a client can bring about.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use picker_core::flow::Outcome;
use serde_json::{Value, json};
use wire::tally::{Labels, Measure};

use super::{script::Script, world::gated};
use crate::mock::tallied::Tallied;

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

/// A client that is turned away is told to come again when others of its band would be let in: after the time that the
/// last ones waited, or the oldest has waited by now.
#[test]
fn when_to_come_again_goes_by_the_waits_of_the_band() {
    let again = |lines: &[&str]| {
        let world = gated(&json!({"maxRequests": 2}));
        let mut script = Script::new(&world);
        for line in lines {
            script.play(line);
        }
        let response = script.stream("it").response().unwrap();
        world.is_well();
        response.headers.text("retry-after").map(str::to_owned).unwrap()
    };
    let full = ["1 pods", "0 asks a b c"];
    let found = [
        again(&[&full[..], &["1 asks it"]].concat()),
        again(&[&full[..], &["7 s pass", "1 asks it"]].concat()),
        again(&[&full[..], &["7 s pass", "a ends", "1 asks d", "2 asks it"]].concat()),
        again(
            &[&full[..], &["5 s pass", "a ends", "1 asks d as high", "2 asks it as high"]].concat(),
        ),
    ];
    // In whole seconds, and none too early.
    assert_eq!(found, ["1", "8", "8", "1"]);
}

/// The EPP's counters, by outcome and priority.
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
    let tallied = Tallied::of(&world, &[]);
    let mut counted = Vec::new();
    for priority in [0, 10, 100] {
        for outcome in [Outcome::Dispatched, Outcome::EvictedTtl, Outcome::RejectedCapacity] {
            let of = |labels: &Labels<'_>, measure| tallied.sum(labels, measure);
            let number = of(&Labels::Band(priority), Measure::QueueOutcomes(outcome.into()));
            let labels = Labels::request("tiny", "tiny", "default-flow", priority);
            let waited = of(&labels, Measure::QueueDuration(outcome.into()));
            if number > 0 {
                let outcome = outcome.label();
                counted.push(format!("{outcome} at {priority}: {number}, {} ms", waited / 1_000));
            }
        }
    }
    insta::assert_snapshot!(counted.join("\n"), @"
    Dispatched at 0: 1, 0 ms
    EvictedTTL at 0: 1, 1000 ms
    RejectedCapacity at 0: 1, 0 ms
    Dispatched at 10: 1, 2 ms
    EvictedTTL at 100: 1, 1017 ms
    ");
}

/// A client that leaves while it waits is an outcome as any other, in the counter and in the histogram; one that leaves
/// while it is served is not, as its wait has ended before.
#[test]
fn who_leaves_the_queue_is_counted_with_its_wait() {
    let world = gated(&json!({}));
    let mut script = Script::new(&world);
    for line in ["1 pods", "0 asks a", "1 asks b", "2 asks c as high", "1 s pass", "b leaves"] {
        script.play(line);
    }
    for line in ["1 s pass", "c leaves", "a leaves"] {
        script.play(line);
    }
    let tallied = Tallied::of(&world, &[]);
    let found = [0, 100].map(|priority| {
        let outcome = Outcome::EvictedContextCancelled.into();
        let labels = Labels::request("tiny", "tiny", "default-flow", priority);
        let number = tallied.sum(&Labels::Band(priority), Measure::QueueOutcomes(outcome));
        let waited = tallied.sum(&labels, Measure::QueueDuration(outcome)) / 1_000_000;
        format!("{number} at {priority}, {waited} s")
    });
    assert_eq!(found, ["1 at 0, 1 s", "1 at 100, 2 s"]);
    world.is_well();
}
