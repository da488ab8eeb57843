//! What a scraper is told that asks with its push: what only this Envoy knows.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use serde_json::json;
use wire::{
    decisions::ToldDecision,
    details::Details,
    push::{Secret, Stamp},
    reply::{self, Have, Reply},
    report::Report,
    tally::Labels,
};

use super::{
    flow::world::{gated, gated_by},
    push::{Pod, SECRET},
    tallied::Tallied,
    world::{World, about},
};

/// What a worker answers to a push of these pods that asks for what is new since this reply.
pub(super) fn reply(world: &World, worker: usize, pods: &[Pod], have: Option<Have>) -> Reply {
    let push = world.push(pods);
    let mut headers = push.headers().to_vec();
    headers.push(("accept", "application/json".to_owned()));
    headers.push((reply::REPLY_HEADER, reply::VERSION.to_owned()));
    headers.extend(have.map(|have| (reply::HAVE_HEADER, have.to_string())));
    let stream = world.ingest(worker, &headers, &push.body);
    let response = stream.response().unwrap();
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.headers.text("content-type"), Some(reply::MEDIA_TYPE));
    let header = |name| response.headers.text(name).unwrap();
    let gateway = reply::parse_gateway(header(reply::GATEWAY_HEADER).as_bytes()).unwrap();
    let secret = Secret::new(SECRET.as_bytes()).unwrap();
    let stamp = Stamp { time_ms: push.time, sequence: push.sequence };
    let signature = header("x-llm-picker-signature").as_bytes();
    assert!(reply::is_signed(&secret, stamp, gateway, signature, &response.body));
    Reply::decode(&response.body).unwrap()
}

/// The report in what worker 1 answers.
fn report(world: &World, pods: &[Pod]) -> Report {
    reply(world, 1, pods, None).report
}

#[test]
fn it_has_what_all_workers_sent_and_hold() {
    let world = gated(&json!({}));
    let pods = Pod::idles(2);
    world.pods(&pods);
    let told = report(&world, &pods);
    let nothing = Details { version: told.details.version.clone(), ..Details::default() };
    assert_eq!(told, Report { details: nothing, ..Report::default() }, "nothing has happened");
    let sent = [world.chat(0, &about("rivers")), world.chat(2, &about("stars"))];
    let paid = [("x-llm-d-inference-objective", "high"), ("x-llm-d-inference-fairness-id", "a<b>")];
    let held = [
        world.chat_with(0, &paid, "one"),
        world.chat_with(3, &paid, "two"),
        world.chat(3, "three"),
    ];
    // Decisions are counted in each worker's memory, and told at its tick.
    world.envoy.run_for(Duration::from_millis(1_100));
    let told = report(&world, &pods);
    insta::assert_snapshot!(serde_json::to_string(&told).unwrap(), @r#"{"workers":3,"waiting":3,"decisions":{"picked":2,"failedOpen":0,"refused":0},"inFlight":[{"endpoint":"10.0.0.1:8000","requests":1,"tokens":0},{"endpoint":"10.0.0.2:8000","requests":1,"tokens":0}],"queues":[{"priority":100,"fairnessId":"a<b>","requests":2,"bytes":122},{"priority":0,"fairnessId":"default-flow","requests":1,"bytes":63}]}"#);
    let details = &told.details;
    assert!(details.has_flow_control && !details.is_observing);
    assert_eq!(details.limits.requests, Some(2), "a place at each pod");
    assert!(details.oldest.iter().all(|it| *it >= Duration::from_secs(1)), "{details:?}");
    assert_eq!((details.oldest.len(), details.decisions.len()), (2, 0), "none is over");
    assert!(details.objectives.iter().any(|it| it.name == "high" && it.priority.0 == 100));
    assert!(details.bands.iter().any(|it| it.priority == 100 && it.requests == 5_000));
    let waiting = Labels::waiting("tiny", "tiny", "a<b>", 100);
    let tallied = Tallied::of(&world, &pods);
    assert_eq!((tallied.present(&waiting), tallied.pinned(&waiting)), (2, 122));
    world.envoy.worker(0).post("/v1/chat/completions", (), b"no JSON");
    sent.iter().for_each(|stream| stream.respond(200, (), b"{}"));
    world.envoy.run_for(Duration::from_millis(40));
    held.iter().for_each(|stream| stream.respond(200, (), b"{}"));
    world.envoy.run_for(Duration::from_millis(40));
    held.iter().for_each(|stream| stream.respond(200, (), b"{}"));
    world.envoy.run_for(Duration::from_millis(40));
    held.iter().for_each(|stream| stream.respond(200, (), b"{}"));
    world.envoy.run_for(Duration::from_millis(1_100));
    let told = report(&world, &pods);
    assert_eq!((told.waiting, told.in_flight, told.queues), (0, vec![], vec![]));
    assert_eq!((told.decisions.picked, told.decisions.refused), (5, 1));
    let tallied = Tallied::of(&world, &pods);
    assert_eq!((tallied.present(&waiting), tallied.pinned(&waiting)), (0, 0));
    let decisions = &told.details.decisions;
    let is_told = |it: &ToldDecision| {
        it.text.starts_with("endpoint=10.0.0.")
            && it.text.contains(";model=tiny;waited-ms=")
            && it.text.ends_with(";status=200")
    };
    assert!(!decisions.is_empty() && decisions.iter().all(is_told), "{decisions:?}");
    world.is_well();
}

#[test]
fn it_says_why_requests_wait_for_metrics_that_are_too_old() {
    let detector =
        json!({"type": "utilization-detector", "parameters": {"stalenessPolicy": "saturated"}});
    let world = gated_by(&detector, &[], &json!({}));
    let pods = [1, 2].map(|number| Pod { age: Duration::from_millis(700), ..Pod::idle(number) });
    world.pods(&pods);
    let held = world.chat(0, "hello");
    world.envoy.run_for(Duration::from_millis(1_100));
    let told = reply(&world, 1, &pods, None).beliefs.stale;
    assert_eq!((told.stale, told.endpoints, told.shut_the_gate()), (2, 2, true));
    let said = || {
        let lines = world.envoy.logs().into_iter().map(|line| line.message);
        lines.filter(|line| line.contains("wait for fresh metrics")).collect::<Vec<_>>()
    };
    let lines = said();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("requests wait for fresh metrics in pool default: 2 of 2"));
    assert!(lines[0].ends_with("allowed: 200 ms (metricsStalenessThreshold)"), "{lines:?}");
    // From now on every push has metrics that were read just before.
    for _ in 0..24 {
        world.pods(&Pod::idles(2));
        world.envoy.run_for(Duration::from_millis(50));
    }
    held.respond(200, (), b"{}");
    assert_eq!(reply(&world, 1, &Pod::idles(2), None).beliefs.stale.stale, 0);
    assert_eq!(said().len(), 1);
    world.is_well();
}

#[test]
fn only_who_is_believed_is_told() {
    let world = World::new();
    world.pods(&Pod::idles(1));
    world.chat(0, "hello");
    let push = world.push(&Pod::idles(1));
    let ask = (reply::REPLY_HEADER, reply::VERSION.to_owned());
    let forged = [("x-llm-picker-signature", "0".repeat(64)), ask.clone()];
    let [time, sequence, _] = push.headers();
    let headers = [&[time, sequence][..], &forged].concat();
    let stream = world.ingest(0, &headers, &push.body);
    assert_eq!(stream.status(), Some(401));
    let body = stream.response().unwrap().text();
    assert!(body.starts_with("{\"error\""), "{body}");
}

#[test]
fn a_scraper_of_before_gets_no_reply_that_it_cannot_read() {
    let world = World::new();
    let push = world.push(&Pod::idles(1));
    let mut headers = push.headers().to_vec();
    headers.push(("accept", "application/json".to_owned()));
    assert_eq!(world.ingest(0, &headers, &push.body).status(), Some(204));
}
